package service

import (
	"log/slog"
	"maps"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/gatehouse-suite/gatehouse/shared/web"
)

// Version of the program; the linker may set it.
const Version = "0.1.0"

// Host is what a process gives a service to be seen by.
type Host struct {
	// Log carries the service's name.
	Log *slog.Logger
	// Tracer makes spans; it is never nil. Tracing tells whether anybody looks at them.
	Tracer  trace.Tracer
	Tracing bool
	// Metrics is where the service registers its own; they carry the service's name.
	Metrics prometheus.Registerer
	// Health is where the service says whether it is ready.
	Health *Health
}

// Process is what the services of one process share.
type Process struct {
	log      *slog.Logger
	tracing  trace.TracerProvider // nil: nobody looks
	registry *prometheus.Registry
	health   *Health
}

// NewProcess gives the telemetry of a process; tracing may be nil.
func NewProcess(log *slog.Logger, tracing trace.TracerProvider) *Process {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Process{log: log, tracing: tracing, registry: registry, health: &Health{}}
}

// Host gives the host of one service. instance tells two services of one kind in one process apart; it may
// be empty. The process is not ready until the service has said that it is.
func (p *Process) Host(name, instance string) *Host {
	log, labels, check := p.log.With(slog.String("service", name)), prometheus.Labels{"service": name}, name
	if instance != "" {
		log, labels["instance_id"], check = log.With(slog.String("instance", instance)), instance, name+"/"+instance
	}
	var tracing trace.TracerProvider = noop.NewTracerProvider()
	if p.tracing != nil {
		tracing = p.tracing
	}
	health := &Health{parent: p.health, name: check}
	health.Set(func() Check { return Check{Detail: map[string]string{"state": "starting"}} })
	return &Host{
		Log:     log,
		Tracer:  tracing.Tracer("github.com/gatehouse-suite/gatehouse/services/" + name),
		Tracing: p.tracing != nil,
		Metrics: prometheus.WrapRegistererWith(labels, p.registry),
		Health:  health,
	}
}

// Handler answers /livez, /readyz and /metrics.
func (p *Process) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /readyz", p.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // one metric that is wrong must not hide the others
		ErrorLog:      slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}))
	return mux
}

// Ready tells what /readyz does: whether every service of the process says it is ready.
func (p *Process) Ready() bool {
	ready, _ := p.health.look()
	return ready
}

// Check is what one part of a process says of itself.
type Check struct {
	Ready bool `json:"ready"`
	// Detail is for whoever looks: what is stale, what is away. No secret may be in it.
	Detail any `json:"detail,omitempty"`
}

// Health collects checks.
type Health struct {
	parent *Health
	name   string

	mu     sync.Mutex
	checks map[string]func() Check
}

// Set says how to find out whether the part is ready; a later call replaces an earlier one.
func (h *Health) Set(check func() Check) {
	if h.parent != nil {
		h.parent.set(h.name, check)
		return
	}
	h.set("process", check)
}

func (h *Health) set(name string, check func() Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = map[string]func() Check{}
	}
	h.checks[name] = check
}

// look asks every check. No check at all is not ready.
func (h *Health) look() (ready bool, all map[string]Check) {
	h.mu.Lock()
	asked := maps.Clone(h.checks)
	h.mu.Unlock()
	ready, all = len(asked) > 0, make(map[string]Check, len(asked))
	for name, check := range asked {
		all[name] = check()
		ready = ready && all[name].Ready
	}
	return ready, all
}

// ServeHTTP answers 200 when every check passes, 503 otherwise and while there is none, with all of them in the
// body.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var body struct {
		Ready  bool             `json:"ready"`
		Checks map[string]Check `json:"checks"`
	}
	body.Ready, body.Checks = h.look()
	status := http.StatusOK
	if !body.Ready {
		status = http.StatusServiceUnavailable
	}
	web.JSON(w, status, body)
}
