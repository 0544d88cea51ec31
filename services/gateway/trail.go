package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/gateway/spool"
)

// openSpool opens the audit spool of this gateway, and notes in it that the gateway has started: so each epoch has a
// record, and a call that was open in the one before is known to be over.
func openSpool(log *slog.Logger, id string, s Settings) (*spool.Spool, error) {
	o := s.Spool
	o.Gateway, o.Limit, o.Log = id, s.AuditSpool, log
	sp, err := spool.Open(filepath.Join(s.DataDir, "gateway", "spool"), o)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	if err := note(sp, audittrail.GatewayStarted); err != nil {
		closeSpool(log, sp)
		return nil, err
	}
	return sp, nil
}

func closeSpool(log *slog.Logger, s *spool.Spool) {
	if err := s.Close(); err != nil {
		log.LogAttrs(context.Background(), slog.LevelError, "audit spool not closed", slog.Any("error", err))
	}
}

func newShipper(sp *spool.Spool, js jetstream.JetStream, log *slog.Logger, s Settings) *spool.Shipper {
	shipper := spool.NewShipper(sp, js, log)
	if s.Remind > 0 {
		shipper.Remind = s.Remind
	}
	return shipper
}

// note records something that is no call.
func note(s *spool.Spool, kind string) error {
	return s.End(new(spool.Call), &auditv1.Record{
		Time: uint64(time.Now().UnixNano()), RequestId: newRequestID(), Kind: kind, Decision: "allow", Outcome: completed,
	})
}

// auditHealth is what /readyz says of the audit trail.
func (g *gateway) auditHealth() map[string]any {
	toShip, uncommitted := g.spool.Backlog()
	said := map[string]any{
		"not_in_the_stream": toShip, "not_known_to_be_committed": uncommitted, "spool_bytes": g.spool.Size(), "spool_limit": g.spool.Limit(),
	}
	if err := g.spool.Err(); err != nil {
		said["trouble"] = err.Error()
	}
	return said
}

// unrecordable tells whether no site takes calls because none can be recorded.
func (g *gateway) unrecordable(p *plan) bool {
	if g.spool.Err() == nil {
		return false
	}
	for _, s := range p.sites {
		if s.config.Enabled && (!s.config.Audit.Enabled || s.config.Audit.WhenUnavailable == "allow") {
			return false
		}
	}
	return true
}
