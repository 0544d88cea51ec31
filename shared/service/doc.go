// Package service is how a Run function becomes a process: settings from the environment, logs, metrics,
// traces, health, signals and drain.
//
// Every service exports Run(ctx, *service.Host, Settings) error, which returns when ctx has ended and all it
// had begun is done. Main makes a process of it; the suite calls five of them in one.
//
// The operations listener answers /livez (the process runs), /readyz (every check passes; 503 otherwise, with
// each check's own words in the body) and /metrics (Prometheus). A service is not ready before it says so
// (Host.Health), and a process that was told to stop is ready no more.
//
//	SIGTERM, SIGINT      the context ends, the service drains, exit 0
//	a second signal      exit at once, 130
//	drain too long       (GATEHOUSE_DRAIN_TIMEOUT, default 30 s) exit 1, and says so
//	a setting is wrong   exit 2, names the variable
//	ops port taken       exit 1, names GATEHOUSE_OPS_LISTEN
//	collector away       traces are lost, and the log says so once; nothing else changes
package service
