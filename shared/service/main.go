package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
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
		return exitSettings
	}
	return MainProcess(name, environ, stderr, func(ctx context.Context, p *Process) error {
		return run(ctx, p.Host(name, ""), own)
	})
}

// Exit codes; 0 is an end in order.
const (
	exitFailed   = 1
	exitSettings = 2
	exitAtOnce   = 130
)

// MainProcess runs run with the operations of a process around it and gives the exit code.
func MainProcess(name string, environ []string, stderr io.Writer, run func(context.Context, *Process) error) int {
	ops, err := settings.Load[Operations](environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitSettings
	}
	log := telemetry.Logger(stderr, ops.LogLevel, name)
	stdlog.SetFlags(0)
	stdlog.SetOutput(unquoted{log})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	ctx := context.Background()
	switch err := operate(ctx, log, name, ops, signals, run); {
	case errors.Is(err, errAtOnce):
		log.LogAttrs(ctx, slog.LevelWarn, "ended at once", slog.Any("error", err))
		return exitAtOnce
	case err != nil:
		log.LogAttrs(ctx, slog.LevelError, "ended", slog.Any("error", err))
		return exitFailed
	}
	return 0
}

// operate runs run until it ends or a signal comes, with the operations listener around it. What goes wrong with
// that listener, or with traces, later on is not the service's failure: it is logged.
func operate(ctx context.Context, log *slog.Logger, name string, ops Operations, signals <-chan os.Signal, run func(context.Context, *Process) error) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ops.OpsListen)
	if err != nil {
		return fmt.Errorf("operations listener (GATEHOUSE_OPS_LISTEN): %w", err)
	}
	tracing, flush, err := telemetry.Tracing(ctx, log, ops.Settings, "gatehouse-"+name)
	if err != nil {
		return errors.Join(fmt.Errorf("GATEHOUSE_OTLP_ENDPOINT: %w", err), listener.Close())
	}
	p := NewProcess(log, tracing)
	opsCtx, stopOps := context.WithCancel(ctx)
	opsDone := make(chan error, 1)
	go func() {
		opsDone <- web.Serve(opsCtx, listener, p.Handler(), web.Settings{Drain: time.Second, Log: log})
	}()
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- run(runCtx, p) }()
	err = await(done, signals, ops.DrainTimeout, func(s os.Signal) {
		log.LogAttrs(ctx, slog.LevelInfo, "stopping", slog.String("signal", s.String()))
		p.health.set("process", func() Check { return Check{Detail: "stopping"} }) // so that nothing new is sent here
		stop()
	})
	stopOps()
	if errors.Is(err, errAtOnce) {
		return err
	}
	flushCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if failed := errors.Join(<-opsDone, flush(flushCtx)); failed != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "operations did not end in order", slog.Any("error", failed))
	}
	return err
}

var errAtOnce = errors.New("a second signal came")

// await waits for run to end by itself, or to drain once a signal has come.
func await(done <-chan error, signals <-chan os.Signal, drain time.Duration, stop func(os.Signal)) error {
	select {
	case err := <-done:
		return err
	case s := <-signals:
		stop(s)
	}
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-signals:
		return errAtOnce
	case <-timer.C:
		return fmt.Errorf("not drained after %s (GATEHOUSE_DRAIN_TIMEOUT)", drain)
	}
}
