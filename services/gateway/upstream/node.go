package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Settings of the way to the nodes; zero values mean the defaults.
type Settings struct {
	// ConnectTimeout bounds making a connection, TLS included; default 3 s.
	ConnectTimeout time.Duration
	// ReplyTimeout bounds the wait for the head of a reply, once all of the call was sent, and how long a node may
	// take nothing of a body; default 5 min.
	ReplyTimeout time.Duration
	// ContinueTimeout is how long a body waits for 100 Continue; default 1 s.
	ContinueTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept, below the 20 s of Tomcat; default 15 s.
	IdleTimeout time.Duration
	// MaxIdle connections kept to each node; default 256.
	MaxIdle int
	// CheckEvery is how often a node is asked for its health; default 5 s.
	CheckEvery time.Duration
	// SlowStart is how long a node that has come back takes to get its whole share of calls again; default 30 s.
	SlowStart time.Duration
	// TLS is what https nodes are spoken to with; nil: the system's roots.
	TLS *tls.Config
}

func (s Settings) withDefaults() Settings {
	fill := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	fill(&s.ConnectTimeout, 3*time.Second)
	fill(&s.ReplyTimeout, 5*time.Minute)
	fill(&s.ContinueTimeout, time.Second)
	fill(&s.IdleTimeout, 15*time.Second)
	fill(&s.CheckEvery, 5*time.Second)
	fill(&s.SlowStart, 30*time.Second)
	if s.MaxIdle == 0 {
		s.MaxIdle = 256
	}
	return s
}

// Node is one JVM: its address, the connections kept to it, and how it is.
type Node struct {
	ID       string
	URL      string
	address  string // host:port
	tls      *tls.Config
	settings Settings
	status   string // path of the health check
	health   atomic.Pointer[Health]
	doubts   chan struct{} // asks for a check before the next one is due
	backAt   atomic.Int64  // unix nanoseconds: it runs again since; 0: it has its whole share

	mu   sync.Mutex
	idle []*conn // the last used last
}

// newNode reads a node's URL; config has checked it.
func newNode(id, rawURL, status string, s Settings) (*Node, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", id, err)
	}
	n := &Node{ID: id, URL: rawURL, settings: s, status: status, doubts: make(chan struct{}, 1)}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		n.tls = s.TLS.Clone()
		if n.tls == nil {
			n.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		n.tls.ServerName = u.Hostname()
		n.tls.NextProtos = []string{"http/1.1"}
	default:
		return nil, fmt.Errorf("node %s: scheme %q", id, u.Scheme)
	}
	n.address = net.JoinHostPort(u.Hostname(), port)
	n.health.Store(&Health{State: Unknown})
	return n, nil
}

// Do sends a call and gives the node's reply. Errors: *UnreachableError, *TimeoutError, or ctx's cause.
func (n *Node) Do(ctx context.Context, r *Request) (*Response, error) {
	for {
		c, err := n.checkout(ctx, r.repeatable())
		if err != nil {
			return nil, err
		}
		used := c.used
		resp, err := c.exchange(ctx, r)
		if err != nil && used && r.repeatable() && errors.Is(err, errUnanswered) && ctx.Err() == nil {
			continue // the node had closed a kept connection; each round uses one up
		}
		return resp, err
	}
}

// Elsewhere tells whether a call may be sent to another node after an error of Do: the node has not seen it, or the call
// may reach a node twice.
func (r *Request) Elsewhere(err error) bool {
	var gone *UnreachableError
	return errors.As(err, &gone) && (!gone.Sent || r.repeatable())
}

// repeatable tells whether a call may be sent twice: there is no body that was already taken from the client.
func (r *Request) repeatable() bool { return r.Repeatable && r.Body == nil }

// checkout gives a kept connection, or makes one. A call that must not be sent twice gets only a connection
// that was looked at just now.
func (n *Node) checkout(ctx context.Context, repeatable bool) (*conn, error) {
	now := time.Now()
	for {
		c := n.pop()
		if c == nil {
			return n.dial(ctx)
		}
		age := now.Sub(c.idleAt)
		if age < n.settings.IdleTimeout && (repeatable && age < time.Second || alive(c.Conn)) {
			return c, nil
		}
		_ = c.Close()
	}
}

func (n *Node) pop() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := len(n.idle) - 1
	if last < 0 {
		return nil
	}
	c := n.idle[last]
	n.idle[last] = nil
	n.idle = n.idle[:last]
	return c
}

// keep puts a connection back for the next call.
func (n *Node) keep(c *conn) {
	c.used, c.idleAt = true, time.Now()
	n.mu.Lock()
	if n.idle != nil || n.settings.MaxIdle > 0 {
		if len(n.idle) < n.settings.MaxIdle {
			n.idle = append(n.idle, c)
			n.mu.Unlock()
			return
		}
	}
	n.mu.Unlock()
	_ = c.Close()
}

// closeIdle closes the connections that were unused for at least age.
func (n *Node) closeIdle(age time.Duration) {
	n.mu.Lock()
	now, old := time.Now(), 0
	for old < len(n.idle) && now.Sub(n.idle[old].idleAt) >= age {
		old++
	}
	gone := n.idle[:old:old]
	n.idle = n.idle[old:]
	n.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}

func (n *Node) dial(ctx context.Context) (*conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, n.settings.ConnectTimeout)
	defer cancel()
	raw, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(dialCtx, "tcp", n.address)
	if err == nil && n.tls != nil {
		secured := tls.Client(raw, n.tls)
		if err = secured.HandshakeContext(dialCtx); err != nil {
			_ = raw.Close()
		}
		raw = secured
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &UnreachableError{Node: n.ID, Err: err}
	}
	return newConn(n, raw), nil
}

// alive tells whether an idle connection was neither closed nor spoken on by the node. Of TLS it sees only
// the socket: a node that says goodbye in TLS closes it too.
func alive(c net.Conn) bool {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	idle := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		idle = n <= 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK))
		return true
	})
	return err == nil && idle
}
