package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/telemetry"
	"github.com/gatehouse-suite/gatehouse/shared/web"
)

// Operations are the settings every process has.
type Operations struct {
	// OpsListen is where /livez, /readyz and /metrics are answered.
	OpsListen string `env:"OPS_LISTEN" envDefault:"127.0.0.1:8082"`
	// DrainTimeout is how long the end of a process may take.
	DrainTimeout time.Duration `env:"DRAIN_TIMEOUT" envDefault:"30s"`
	telemetry.Settings
}

// Main runs one service as a process and gives its exit code: settings S from the environment, run until a
// signal comes.
func Main[S any](name string, environ []string, stderr io.Writer, run func(context.Context, *Host, S) error) int {
	own, err := settings.Load[S](environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	return MainProcess(name, environ, stderr, func(ctx context.Context, p *Process) error {
		return run(ctx, p.Host(name, ""), own)
	})
}

// MainProcess runs run with the operations of a process around it and gives the exit code.
func MainProcess(name string, environ []string, stderr io.Writer, run func(context.Context, *Process) error) int {
	ops, err := settings.Load[Operations](environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	log := telemetry.Logger(stderr, ops.LogLevel, name)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := operate(ctx, log, name, ops, stop, run); err != nil {
		log.LogAttrs(ctx, slog.LevelError, "ended", slog.Any("error", err))
		return 1
	}
	return 0
}

func operate(ctx context.Context, log *slog.Logger, name string, ops Operations, restoreSignals func(), run func(context.Context, *Process) error) error {
	tracing, flush, err := telemetry.Tracing(ctx, ops.Settings, "gatehouse-"+name)
	if err != nil {
		return err
	}
	p := NewProcess(log, tracing)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ops.OpsListen)
	if err != nil {
		return fmt.Errorf("operations listener: %w", err)
	}
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	opsDone := make(chan error, 1)
	go func() { opsDone <- web.Serve(opsCtx, listener, p.Handler(), web.Settings{}) }()
	done := make(chan error, 1)
	go func() { done <- run(ctx, p) }()
	err = await(ctx, done, ops.DrainTimeout, restoreSignals)
	stopOps()
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return errors.Join(err, <-opsDone, flush(flushCtx))
}

// await waits for run to end by itself, or to drain once the context has ended. A second signal then ends the
// process at once, because the handlers are no longer ours.
func await(ctx context.Context, done <-chan error, drain time.Duration, restoreSignals func()) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	restoreSignals()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not drained after %s", drain)
	}
}
