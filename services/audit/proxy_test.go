package audit

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// proxy stands between the service and its database, and can be away.
type proxy struct {
	url string

	mu    sync.Mutex
	away  bool
	hung  chan struct{} // nil: answers pass; else until it is closed
	conns map[net.Conn]struct{}
}

// newProxy gives another way to the database at databaseURL, over a socket of its own.
func newProxy(t testing.TB, databaseURL string) *proxy {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	params := u.Query()
	target := filepath.Join(params.Get("host"), ".s.PGSQL."+params.Get("port"))
	dir := testkit.OpenDir(t)
	params.Set("host", dir)
	u.RawQuery = params.Encode()
	p := &proxy{url: u.String(), conns: map[net.Conn]struct{}{}}
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+params.Get("port")))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { p.serve(conn, target) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.cut()
		work.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("unix", target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil || !p.pass() {
			break
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			break
		}
	}
	client.Close()
	<-done
}

// pass waits while the database hangs; false when it was cut meanwhile.
func (p *proxy) pass() bool {
	p.mu.Lock()
	hung := p.hung
	p.mu.Unlock()
	if hung != nil {
		<-hung
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.away
}

// hang lets no answer pass until back.
func (p *proxy) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hung = make(chan struct{})
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.away {
		p.conns[c] = struct{}{}
	}
	return !p.away
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// cut breaks every connection and lets none through until back.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	p.answer()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
	p.answer()
}

func (p *proxy) answer() {
	if p.hung != nil {
		close(p.hung)
		p.hung = nil
	}
}
