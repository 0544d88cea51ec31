package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Settings of a server; zero values mean the defaults.
type Settings struct {
	// HeaderTimeout bounds the reading of a request's header; default 10 s.
	HeaderTimeout time.Duration
	// Drain bounds how long running requests may take once the context has ended; default 20 s.
	Drain time.Duration
	// MaxHeaderBytes bounds a request's header; default 64 KiB.
	MaxHeaderBytes int
	// TLS makes it a server of TLS, HTTP/2 and HTTP/1.1; nil: HTTP/1.1 in plain text.
	TLS *tls.Config
	// Log takes what net/http has to complain of (a handler that panics, an accept that fails) and that requests were
	// cut off at the end, as warnings; nil: the standard logger takes the former, nobody the latter.
	Log *slog.Logger
}

// Serve answers on listener until ctx ends, then takes no more requests and lets running ones end: their contexts
// go on, so a handler that has no end of its own must watch ctx. What still runs after Settings.Drain is cut off, and
// the log says so: it is how a client that hangs, or a stream without an end, ends. There is no bound on bodies: an
// upload may take as long as it takes.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, s Settings) error {
	if s.HeaderTimeout == 0 {
		s.HeaderTimeout = 10 * time.Second
	}
	if s.Drain == 0 {
		s.Drain = 20 * time.Second
	}
	if s.MaxHeaderBytes == 0 {
		s.MaxHeaderBytes = 64 << 10
	}
	server := &http.Server{
		Handler: handler, DisableGeneralOptionsHandler: true, ReadHeaderTimeout: s.HeaderTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: s.MaxHeaderBytes,
	}
	server.HTTP2 = &http.HTTP2Config{MaxReadFrameSize: 16 << 10}
	if s.Log != nil {
		server.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn)
	}
	served := make(chan error, 1)
	if server.TLSConfig = s.TLS; s.TLS != nil {
		go func() { served <- server.ServeTLS(listener, "", "") }()
	} else {
		go func() { served <- server.Serve(listener) }()
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Drain)
	defer cancel()
	err := server.Shutdown(drain)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if s.Log != nil {
		s.Log.LogAttrs(drain, slog.LevelWarn, "requests were cut off", slog.String("address", listener.Addr().String()), slog.Duration("after", s.Drain))
	}
	return server.Close()
}
