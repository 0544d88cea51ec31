package config

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// codeAnotherHistory says that a gateway decides under a configuration that the log does not hold.
const codeAnotherHistory fault.Code = "another_history"

// sameHistory refuses a change while a gateway on the list decides under a configuration that the log does not
// hold. The log was then lost or rewound, and nobody is left to heal it: a change would make it another history
// with the same numbers, and the gateways would never follow it.
func (a *api) sameHistory(ctx context.Context, c command) error {
	strange, err := a.strangers(ctx, gateways.Config, func(ctx context.Context, seq uint64) { _, _ = a.follower.AtLeast(ctx, seq) })
	if err != nil || len(strange) == 0 {
		return err
	}
	if c.force {
		a.log.LogAttrs(ctx, slog.LevelWarn, "a change is forced though a gateway has another history", slog.String("gateway", strange[0].ID),
			slog.String("its_state", strange[0].State.String()), slog.String("who", c.who.Name))
		return nil
	}
	return refuse(http.StatusConflict, fault.New(codeAnotherHistory, "no change is taken, what is there stays: "+a.describe(strange)))
}

// sameTokens refuses a decision on tokens while a gateway on the list checks them by a state that the log does not hold: what
// was revoked may be lost, and nothing that is revoked now would reach that gateway.
func (a *api) sameTokens(ctx context.Context) error {
	strange, err := a.strangers(ctx, gateways.Tokens, func(ctx context.Context, seq uint64) { _ = a.tokens.Reached(ctx, seq) })
	if err != nil || len(strange) == 0 {
		return err
	}
	return refuse(http.StatusConflict, fault.Newf(codeAnotherHistory, "nothing about tokens is decided, what is there stays: gateway %s checks them by state %s, "+
		"which their log does not hold. Restore stream TOKENS from its backup (docs/runbook.md)", strange[0].ID, brief(strange[0].State)))
}

// strangers gives the gateways that have another history of a log than we, once they were heard and there was time to read what
// another instance may have stored.
func (a *api) strangers(ctx context.Context, of gateways.Log, reach func(context.Context, uint64)) ([]gateways.Stranger, error) {
	if err := a.gateways.Listened(ctx, a.settings.GatewayHearing); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "no change is taken yet: the gateways were not heard so far", err)
	}
	strange := a.gateways.Strangers(of)
	if len(strange) > 0 {
		wait, cancel := context.WithTimeout(ctx, a.settings.CatchUp)
		reach(wait, strange[0].State.Seq)
		cancel()
		strange = a.gateways.Strangers(of)
	}
	return strange, nil
}

// describe says who has another history, and what an operator can do.
func (a *api) describe(strange []gateways.Stranger) string {
	others := ""
	if n := len(strange) - 1; n > 0 {
		others = fmt.Sprintf(" (and %d more)", n)
	}
	first := strange[0]
	ours, _ := a.history.state(first.State.Seq)
	if ours.Seq != first.State.Seq || ours == (eventlog.State{}) {
		ours = a.history.head()
	}
	return fmt.Sprintf("gateway %s%s decides under configuration %s, which this log does not hold; the log has %s. "+
		"Restore stream CONFIG from its backup. To give that history up instead, make the change with force=fork, "+
		"remove the file gateway/snapshot from the data folder of each such gateway, and start it again (docs/runbook.md)",
		first.ID, others, brief(first.State), brief(ours))
}

// brief names a state in a message.
func brief(s eventlog.State) string {
	if s == (eventlog.State{}) {
		return "0 (nothing)"
	}
	return fmt.Sprintf("%d (%.12s)", s.Seq, s.Hash)
}

// lookout looks again and again for gateways with another history, so that it is known before anybody wants a
// change.
type lookout struct {
	api     *api
	verdict atomic.Pointer[string] // empty: nobody has one
	seen    gateways.Stranger
	since   time.Time
}

// run goes on until ctx ends.
func (l *lookout) run(ctx context.Context) {
	tick := time.NewTicker(l.api.settings.Retry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.look(ctx, time.Now())
		}
	}
}

// look says it once when the same gateway has had the same strange configuration for longer than this process
// may take to read what another one has stored.
func (l *lookout) look(ctx context.Context, now time.Time) {
	if l.api.follower.Snapshot() == nil || l.api.trouble() != "" {
		return // ours is not all the log holds
	}
	strange := l.api.gateways.Strangers(gateways.Config)
	if len(strange) == 0 {
		l.seen, l.since = gateways.Stranger{}, time.Time{}
		l.verdict.Store(nil)
		return
	}
	if strange[0] != l.seen {
		l.seen, l.since = strange[0], now
	}
	if now.Sub(l.since) < l.api.settings.CatchUp {
		return
	}
	text := l.api.describe(strange)
	if l.anotherHistory() == "" {
		l.api.log.LogAttrs(ctx, slog.LevelError, "a gateway has another history: no change is taken", slog.String("gateway", l.seen.ID),
			slog.String("its_state", l.seen.State.String()), slog.String("our_state", l.api.history.head().String()), slog.String("what_to_do", text))
	}
	l.verdict.Store(&text)
}

// anotherHistory says which gateway has another history, or nothing.
func (l *lookout) anotherHistory() string {
	if text := l.verdict.Load(); text != nil {
		return *text
	}
	return ""
}
