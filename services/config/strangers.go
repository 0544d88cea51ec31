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
	if err := a.gateways.Listened(ctx, a.settings.GatewayHearing); err != nil {
		return fault.Wrap(fault.Unavailable, "no change is taken yet: the gateways were not heard so far", err)
	}
	strange := a.gateways.Strangers()
	if len(strange) > 0 && !c.force { // another instance may have made what they have, and this one not read it yet
		wait, cancel := context.WithTimeout(ctx, a.settings.CatchUp)
		_, _ = a.follower.AtLeast(wait, strange[0].State.Seq)
		cancel()
		strange = a.gateways.Strangers()
	}
	if len(strange) == 0 {
		return nil
	}
	if c.force {
		a.log.LogAttrs(ctx, slog.LevelWarn, "a change is forced though a gateway has another history", slog.String("gateway", strange[0].ID),
			slog.String("its_state", strange[0].State.String()), slog.String("who", c.who.Name))
		return nil
	}
	return refuse(http.StatusConflict, fault.New(codeAnotherHistory, "no change is taken, what is there stays: "+a.describe(strange)))
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
	strange := l.api.gateways.Strangers()
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
