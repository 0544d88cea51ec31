package config

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
	"github.com/gatehouse-suite/gatehouse/services/config/tokens"
)

// api is the admin API and what it decides with.
type api struct {
	log       *slog.Logger
	tracer    trace.Tracer
	settings  Settings
	nc        *nats.Conn
	events    *eventlog.Log
	follower  *configlog.Follower
	history   *history
	stale     *staleness
	healer    *healer
	sealer    *secret.Sealer
	prints    secret.Fingerprinter
	gateways  *gateways.Tracker
	lookout   *lookout
	tokens    *tokens.Desk
	auth      *adminauth.Auth
	journal   *adminauth.Journal
	trail     *audittrail.Recorder
	metrics   *metrics
	transport *http.Transport
	turn      chan struct{}   // held by who makes a change
	ending    context.Context //nolint:containedctx // the life of the service: waiting and streaming end with it
}

// handler gives the admin API under /api/v1.
func (a *api) handler() http.Handler {
	root := chi.NewRouter()
	root.Use(a.framed, middleware.GetHead)
	root.NotFound(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, fault.New(fault.NotFound, "there is nothing at this path"))
	})
	root.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed(root, r.URL.Path), ", "))
		a.fail(w, r, refuse(http.StatusMethodNotAllowed, fault.New(fault.Invalid, "not with this method")))
	})
	root.Route("/api/v1", a.routes)
	return root
}

// routes are what openapi.yaml describes; a test compares.
func (a *api) routes(r chi.Router) {
	everybody := a.auth.Middleware()
	readers := a.auth.Middleware(adminauth.RoleAdmin, adminauth.RoleAuditor)
	admins := a.auth.Middleware(adminauth.RoleAdmin)
	managers := a.auth.Middleware(adminauth.RoleAdmin, adminauth.RoleTokenManager)

	r.Get("/openapi.yaml", a.getOpenAPI)
	r.With(everybody).Get("/config", a.getConfig)
	r.With(admins).Put("/config", a.putConfig)
	r.With(readers).Get("/config/events", a.getEvents)
	r.With(readers).Get("/config/history", a.getHistory)
	r.With(admins).Post("/config/rollback", a.rollback)
	r.With(admins).Post("/sites/{id}/test-token", a.testToken)
	r.With(readers).Get("/gateways", a.getGateways)
	r.With(everybody).Get("/tokens", a.getTokens)
	r.With(managers).Post("/tokens", a.postToken)
	r.With(everybody).Get("/tokens/{id}", a.getToken)
	r.With(managers).Delete("/tokens/{id}", a.deleteToken)
	r.With(readers).Get("/admin-tokens", a.getAdminTokens)
	r.With(admins).Post("/admin-tokens", a.postAdminToken)
	r.With(admins).Delete("/admin-tokens/{name}", a.deleteAdminToken)
	audit := a.auditProxy()
	r.With(readers).Method(http.MethodGet, "/audit/*", audit)
	r.With(admins).Method(http.MethodPost, "/audit/*", audit)
	r.With(admins).Method(http.MethodDelete, "/audit/*", audit)
}

// allowed gives the methods a path takes.
func allowed(routes chi.Routes, path string) []string {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		matched := m
		if m == http.MethodHead {
			matched = http.MethodGet
		}
		if routes.Match(chi.NewRouteContext(), matched, path) {
			methods = append(methods, m)
		}
	}
	return methods
}

// loaded gives the last good configuration, or a fault when there never was one.
func (a *api) loaded() (*configlog.Snapshot, error) {
	if s := a.follower.Snapshot(); s != nil {
		return s, nil
	}
	return nil, fault.New(fault.Unavailable, "the configuration is not loaded yet: "+a.trouble())
}

// trouble says why no change can be taken, or nothing.
func (a *api) trouble() string {
	status := a.follower.Status()
	if status.Trouble == "" {
		return ""
	}
	if forked := a.healer.forked(); forked != "" {
		return forked
	}
	return status.Trouble
}

// wrong says why no change can be taken, of the log's own or because of a gateway, or nothing.
func (a *api) wrong() string { return cmp.Or(a.trouble(), a.lookout.anotherHistory()) }

// check is what /readyz shows of the service.
func (a *api) check() service.Check {
	s, status := a.follower.Snapshot(), a.follower.Status()
	detail := struct {
		Sequence  uint64     `json:"sequence"`
		HeardAt   *time.Time `json:"heard_at,omitempty"`
		BlockedAt uint64     `json:"blocked_at,omitempty"`
		Trouble   string     `json:"trouble,omitempty"`
		NATS      string     `json:"nats"`
	}{BlockedAt: status.BlockedAt, Trouble: a.wrong(), NATS: strings.ToLower(a.nc.Status().String())}
	if s != nil {
		detail.Sequence = s.State.Seq
	}
	if !status.HeardAt.IsZero() {
		detail.HeardAt = &status.HeardAt
	}
	return service.Check{Ready: s != nil, Detail: detail}
}
