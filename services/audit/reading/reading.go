package reading

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Settings say what is read, and what reading may cost.
type Settings struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Pool has as many connections as there may be searches and exports at once.
	Pool *pgxpool.Pool
	// Trail is told of exports.
	Trail *audittrail.Recorder
	// Searches is how many may run at once, verifications and statistics included; Exports how many exports.
	Searches, Exports int32
	// Timeout bounds one statement in the database.
	Timeout time.Duration
	// Budget is how long a search goes on to the next partition, before it gives what it has.
	Budget time.Duration
	// Patience is how long an export waits for its client to take a page, and for a database that is away, before it is
	// cut off.
	Patience time.Duration
}

// Reader answers what admins and auditors ask of the trail.
type Reader struct {
	Settings
	archive *archive
	slots   chan struct{} // one per search under way
	exports chan struct{}
	meters  *meters
}

// New gives a Reader.
func New(s Settings) *Reader {
	return &Reader{
		Settings: s, slots: make(chan struct{}, s.Searches), exports: make(chan struct{}, s.Exports), meters: newMeters(s.Metrics),
		archive: &archive{pool: s.Pool, timeout: s.Timeout, budget: s.Budget},
	}
}

// Routes puts what can be read under /api/v1/audit.
func (a *Reader) Routes(r chi.Router, readers func(http.Handler) http.Handler) {
	r = r.With(readers)
	r.Get("/events", a.answer("events", a.events))
	r.Get("/stats", a.answer("stats", a.stats))
	r.Get("/verify", a.answer("verify", a.verify))
	r.Get("/export", a.export)
}

// answer answers with what ask gives, once there is a slot for it.
func (a *Reader) answer(what string, ask func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := a.within(r, ask)
		a.meters.searches.WithLabelValues(what, string(fault.CodeOf(err))).Inc()
		if err != nil {
			a.fail(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		web.JSON(w, http.StatusOK, body)
	}
}

// within asks while it has a slot.
func (a *Reader) within(r *http.Request, ask func(*http.Request) (any, error)) (any, error) {
	if err := a.enter(r.Context(), a.slots); err != nil {
		return nil, err
	}
	defer func() { <-a.slots }()
	return ask(r)
}

func (a *Reader) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch fault.CodeOf(err) { //nolint:exhaustive // the others are the caller's
	case fault.Internal:
		a.Log.LogAttrs(r.Context(), slog.LevelError, "search failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	case fault.Unavailable, fault.Limited:
		w.Header().Set("Retry-After", "1")
		a.Log.LogAttrs(r.Context(), slog.LevelDebug, "search refused", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	web.Fault(w, 0, err)
}

// patience is how long a search waits for a slot.
const patience = time.Second

// enter takes a slot, and waits a little for one.
func (*Reader) enter(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return nil
	case <-timer.C:
		return fault.New(fault.Limited, "too many searches at once")
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "no longer waited for", ctx.Err())
	}
}

// events answers a search.
func (a *Reader) events(r *http.Request) (any, error) {
	values, err := parameterValues(r)
	if err != nil {
		return nil, err
	}
	q, err := parseQuery(values)
	if err != nil {
		return nil, err
	}
	return a.archive.search(r.Context(), q)
}

// meters are the metrics.
type meters struct {
	searches *prometheus.CounterVec
	exported prometheus.Counter
}

func newMeters(registry prometheus.Registerer) *meters {
	m := &meters{
		searches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_audit_searches_total", Help: "What was asked of the trail, by what it was and the fault it ended with; cut: an export that had begun.",
		}, []string{"what", "fault"}),
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_audit_exported_records_total", Help: "Records given to exports.",
		}),
	}
	registry.MustRegister(m.searches, m.exported)
	return m
}
