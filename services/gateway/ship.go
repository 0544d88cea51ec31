package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/telemetry"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/gateway/spool"
)

// shipSettings are what shipping a spool by hand needs: the NATS server, and the key of the gateway whose spool it is.
type shipSettings struct {
	// Patience is how long it waits until everything is committed.
	Patience time.Duration `env:"SHIP_PATIENCE" envDefault:"10m"`
	// LogLevel is debug, info, warn or error.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	bus.Settings
}

// ShipSpool ships what a gateway that will not run again has left in a folder, the spool's own or the gateway's data
// folder, and gives the exit code: 0 once Postgres has all of it, 1 when it does not, 2 for settings that are wrong.
func ShipSpool(dir string, environ []string, stderr io.Writer) int {
	s, err := settings.Load[shipSettings](environ)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := telemetry.Logger(stderr, s.LogLevel, "ship-spool")
	if err := shipSpool(ctx, log, dir, s); err != nil {
		log.LogAttrs(ctx, slog.LevelError, "spool not shipped", slog.Any("error", err))
		return 1
	}
	log.LogAttrs(ctx, slog.LevelInfo, "everything that could be read is in the audit trail; the folder can go")
	return 0
}

func shipSpool(ctx context.Context, log *slog.Logger, dir string, s shipSettings) error {
	if below := filepath.Join(dir, "gateway", "spool"); exists(below) {
		dir = below
	}
	if !exists(filepath.Join(dir, spool.MarkFile)) {
		return fmt.Errorf("there is no audit spool in %s", dir)
	}
	sp, err := spool.Open(dir, spool.Options{Salvage: true, Log: log})
	if err != nil {
		return err
	}
	defer closeSpool(log, sp)
	if err := note(sp, audittrail.SpoolShipped); err != nil {
		return err
	}
	nc, err := bus.Connect(ctx, log, topology.GatewayUser(sp.Gateway()), s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	shipper := spool.NewShipper(sp, js, log)
	shipper.Insist = true
	working, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	if err := shipper.Finish(working); err != nil {
		return err
	}
	if _, uncommitted := sp.Backlog(); uncommitted > 0 {
		return errors.New("not everything is known to be committed: run this again")
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
