package config

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// auditProxy hands audit/* on to the audit service as it is: the path, the credential and the stream of the
// answer.
func (a *api) auditProxy() http.Handler {
	target, err := url.Parse(a.settings.AuditURL)
	if err != nil || a.settings.AuditURL == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.fail(w, r, fault.New(fault.Unavailable, "no audit service is set: GATEHOUSE_AUDIT_URL"))
		})
	}
	proxy := &httputil.ReverseProxy{
		Transport:     a.transport,
		FlushInterval: -1, // exports and live events leave as they come
		ErrorLog:      slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Header.Set("X-Request-Id", requestID(p.In))
		},
		ModifyResponse: func(answer *http.Response) error {
			for name := range ownHeaders() { // they are set already, and would be there twice
				answer.Header.Del(name)
			}
			answer.Header.Del(headerRequestID)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			a.fail(w, r, fault.Wrap(fault.Unavailable, "the audit service is away", err))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stop := context.AfterFunc(a.ending, cancel) // a stream has no end of its own
		defer stop()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// newTransport gives connections of our own to the audit service, so that nothing is shared by accident.
func newTransport() *http.Transport {
	return &http.Transport{
		MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute, DisableCompression: true,
	}
}
