package audit

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-suite/gatehouse/services/audit/retention"
)

// api answers what admins and auditors ask over HTTP.
type api struct {
	log     *slog.Logger
	archive *archive
	slots   chan struct{} // one per search under way
	patient time.Duration // how long a search waits for a slot
	meters  *meters
}

func (a *api) routes(auth *adminauth.Auth, keeper *retention.Keeper) http.Handler {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		web.Fault(w, 0, fault.New(fault.NotFound, "there is nothing here"))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		web.Fault(w, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "not with this method"))
	})
	readers, admins := auth.Middleware(adminauth.RoleAdmin, adminauth.RoleAuditor), auth.Middleware(adminauth.RoleAdmin)
	r.Route("/api/v1/audit", func(r chi.Router) {
		r.With(readers).Get("/events", a.events)
		keeper.Routes(r, readers, admins)
	})
	return r
}

// events answers a search.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	found, err := a.find(r)
	a.meters.searches.WithLabelValues(string(fault.CodeOf(err))).Inc()
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
		web.JSON(w, http.StatusOK, found)
		return
	}
	switch fault.CodeOf(err) { //nolint:exhaustive // the others are the caller's
	case fault.Internal:
		a.log.LogAttrs(r.Context(), slog.LevelError, "search failed", slog.Any("error", err))
	case fault.Unavailable, fault.Limited:
		w.Header().Set("Retry-After", "1")
		a.log.LogAttrs(r.Context(), slog.LevelDebug, "search refused", slog.Any("error", err))
	}
	web.Fault(w, 0, err)
}

func (a *api) find(r *http.Request) (page, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page{}, fault.Wrap(fault.Invalid, "the query cannot be read", err)
	}
	q, err := parseQuery(values)
	if err != nil {
		return page{}, err
	}
	if err := a.enter(r.Context()); err != nil {
		return page{}, err
	}
	defer func() { <-a.slots }()
	return a.archive.search(r.Context(), q)
}

// enter takes a slot, and waits a little for one.
func (a *api) enter(ctx context.Context) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(a.patient)
	defer patience.Stop()
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-patience.C:
		return fault.New(fault.Limited, "too many searches at once")
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "no longer waited for", ctx.Err())
	}
}

// requestID gives the id that whoever handed a request on has given it, such as config; there may be none.
func requestID(r *http.Request) string { return r.Header.Get("X-Request-Id") }
