// Package service is how a Run function becomes a process: settings from the environment, logs, metrics,
// traces, health, signals and drain.
//
// Every service exports Run(ctx, *service.Host, Settings) error, which returns when ctx has ended and all it
// had begun is done. Main makes a process of it; the suite calls five of them in one.
//
// The operations listener answers /livez (the process runs), /readyz (every check passes; 503 otherwise, with
// each check's own words in the body) and /metrics (Prometheus).
//
//	SIGTERM, SIGINT   the context ends, the service drains, exit 0
//	a second signal   exit at once, 130
//	drain too long    (GATEHOUSE_DRAIN_TIMEOUT, default 30 s) exit 1, and says so
package service
