package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// server is one listener that can be taken away and brought back on the same
// port, connections included: that is how a node dies in a test.
type server struct {
	log     *slog.Logger
	handler http.Handler

	mu       sync.Mutex
	addr     string
	listener *cuttable
	http     *http.Server
	cancel   context.CancelFunc // ends the contexts of the running requests
}

// listen takes the port; a port of 0 is settled here and kept for ever.
func (s *server) listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("already listening")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.addr = l.Addr().String()
	s.listener = &cuttable{Listener: l, conns: map[*cuttableConn]struct{}{}}
	return nil
}

// serve answers on the listener until stop or drain.
func (s *server) serve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	base, cancel := context.WithCancel(context.Background()) //nolint:gosec // stop and drain call it
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState: func(conn net.Conn, state http.ConnState) {
			if cc, ok := conn.(*cuttableConn); ok && state == http.StateActive {
				cc.used.Store(true)
			}
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go func(h *http.Server, l net.Listener) {
		if err := h.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.log.Error("lab listener ended", slog.Any("error", err))
		}
	}(s.http, s.listener)
}

// start is listen and serve.
func (s *server) start(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.serve()
	return nil
}

// stop closes the listener and cuts every connection, hijacked ones too.
func (s *server) stop() {
	h, l, cancel := s.take()
	if l == nil {
		return
	}
	_ = l.Close()
	l.cut(false) // before the handlers hear of it, who might end their answers in order
	cancel()
	if h != nil {
		_ = h.Close()
	}
}

// drain ends the long requests, waits for the short ones until ctx is done, and
// then does what stop does. Connections without a request so far are cut first:
// net/http would wait 5 s for each.
func (s *server) drain(ctx context.Context) error {
	h, l, cancel := s.take()
	if l == nil {
		return nil
	}
	cancel()
	_ = l.Close()
	l.cut(true)
	var err error
	if h != nil {
		err = h.Shutdown(ctx)
		_ = h.Close()
	}
	l.cut(false)
	return err
}

func (s *server) take() (*http.Server, *cuttable, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, l, cancel := s.http, s.listener, s.cancel
	s.http, s.listener, s.cancel = nil, nil, nil
	if cancel == nil {
		cancel = func() {}
	}
	return h, l, cancel
}

func (s *server) url() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "http://" + s.addr
}

// cuttable knows its open connections: net/http forgets those a websocket took.
type cuttable struct {
	net.Listener
	once  sync.Once
	mu    sync.Mutex
	conns map[*cuttableConn]struct{}
}

// Accept waits for the next connection.
func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	cc := &cuttableConn{TCPConn: tcp, owner: c}
	c.mu.Lock()
	c.conns[cc] = struct{}{}
	c.mu.Unlock()
	return cc, nil
}

// Close closes the listener; the second time it does nothing.
func (c *cuttable) Close() error {
	var err error
	c.once.Do(func() { err = c.Listener.Close() })
	return err
}

// cut closes all connections, or those that never had a request.
func (c *cuttable) cut(onlyUnused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		if onlyUnused && conn.used.Load() {
			continue
		}
		_ = conn.TCPConn.Close()
		delete(c.conns, conn)
	}
}

// cuttableConn embeds the TCP connection, so net/http keeps CloseWrite and ReadFrom.
type cuttableConn struct {
	*net.TCPConn
	owner *cuttable
	used  atomic.Bool // a request has come
}

// Close closes the connection and is forgotten by its listener.
func (c *cuttableConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.TCPConn.Close()
}
