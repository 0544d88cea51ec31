package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/services/config/facts"
)

// command is a change somebody wants made.
type command struct {
	who       adminauth.Admin
	why       string
	requestID string
	condition condition
	dryRun    bool
	force     bool // though gateways have another history
	// propose decides what the change is, given what there is. It may be asked again, of something newer.
	propose func(context.Context, *configlog.Snapshot) (*proposal, error)
}

// proposal is a change that is valid: where it leads to, what is said beside the document, and what must be
// sealed before.
type proposal struct {
	to       *configlog.Config // nil: the document stays
	extra    []proto.Message
	seals    []seal
	warnings []fault.Problem
}

// facts gives what the change means.
func (p *proposal) facts(from configlog.Config) []proto.Message {
	if p.to == nil {
		return p.extra
	}
	return append(facts.Diff(from, *p.to), p.extra...)
}

// outcome is what has become of a command.
type outcome struct {
	state    eventlog.State // after it
	facts    []proto.Message
	warnings []fault.Problem
}

// maxRaces is how often a change to "whatever there is" is made anew because another instance was first.
const maxRaces = 5

// change makes a change: decided on one state, stored whole or not at all. This instance makes one at a time;
// two instances are kept apart by the log.
func (a *api) change(ctx context.Context, c command) (*outcome, error) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, "no longer waited for", ctx.Err())
	}
	// From here on a client that goes away changes nothing: what was begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.AppendTimeout)
	defer cancel()
	for race := 1; ; race++ {
		out, err := a.attempt(ctx, c)
		var conflict *eventlog.ConflictError
		if !errors.As(err, &conflict) {
			return out, err
		}
		now, err := a.follower.AtLeast(ctx, conflict.Found.Seq)
		switch {
		case err != nil:
			return nil, fault.Wrap(fault.Unavailable, "another change was first; nothing was changed", err)
		case !c.condition.any || race == maxRaces:
			return nil, stale(now.State)
		}
	}
}

func (a *api) attempt(ctx context.Context, c command) (*outcome, error) {
	from, err := a.current(ctx, c)
	if err != nil {
		return nil, err
	}
	if !c.condition.holds(from.State) {
		return nil, stale(from.State)
	}
	p, err := c.propose(ctx, from)
	if err != nil {
		return nil, err
	}
	out := &outcome{state: from.State, facts: p.facts(from.Config), warnings: p.warnings}
	if len(out.facts) == 0 {
		return out, nil
	}
	data, err := a.encode(c, from, p, out.facts)
	if err != nil || c.dryRun {
		return out, err
	}
	if len(p.seals) > 0 {
		if err := a.sealAll(ctx, p.to, p.seals); err != nil {
			return nil, err
		}
		out.facts = p.facts(from.Config)
		if data, err = a.encode(c, from, p, out.facts); err != nil {
			return nil, err
		}
	}
	out.state, err = a.events.Append(ctx, from.State, data)
	if err != nil {
		return nil, notStored(err)
	}
	a.committed(ctx, c, out)
	return out, nil
}

// current gives the configuration a change is made to. When the condition names a later one, another instance
// has made it: it is waited for.
func (a *api) current(ctx context.Context, c command) (*configlog.Snapshot, error) {
	if _, err := a.loaded(); err != nil {
		return nil, err
	}
	if trouble := a.trouble(); trouble != "" {
		return nil, fault.New(fault.Unavailable, "no change is taken, what is there stays: "+trouble)
	}
	if err := a.sameHistory(ctx, c); err != nil {
		return nil, err
	}
	s := a.follower.Snapshot()
	if seq := c.condition.newest(); seq > s.State.Seq {
		ctx, cancel := context.WithTimeout(ctx, a.settings.CatchUp)
		defer cancel()
		if later, err := a.follower.AtLeast(ctx, seq); err == nil {
			return later, nil
		}
	}
	return s, nil
}

// encode gives the bytes of the commit, once nothing speaks against it: every live gateway must fold its
// facts, it must not be too large, and the facts must lead where they should.
func (a *api) encode(c command, from *configlog.Snapshot, p *proposal, all []proto.Message) ([]byte, error) {
	level, id := a.gateways.LowestLevel(time.Now())
	for _, f := range all {
		if needs := a.settings.levelOf(f); id != "" && needs > level {
			return nil, refuse(http.StatusConflict, fault.Newf(codeGatewaysTooOld,
				"gateway %s knows facts up to level %d, %s has level %d: update the gateways first", id, level, configlog.TypeOf(f), needs))
		}
	}
	data, err := configlog.Encode(&configv1.Commit{
		Who: &configv1.Actor{Name: c.who.Name, Role: c.who.Role, Address: c.who.Address},
		Why: c.why, At: timestamppb.Now(), RequestId: c.requestID,
	}, all)
	if err != nil {
		return nil, err
	}
	if len(data) > eventlog.MaxCommit {
		return nil, unfit(fmt.Sprintf("the change has %d KiB: one commit holds up to %d KiB; make it in several", len(data)>>10, eventlog.MaxCommit>>10), nil)
	}
	then, err := facts.Apply(from.Config, all)
	if err == nil && p.to != nil && len(facts.Diff(then, *p.to)) > 0 {
		err = errors.New("the facts do not lead to the document")
	}
	if err != nil {
		return nil, fmt.Errorf("decide: %w", err)
	}
	return data, nil
}

// notStored says why a commit was not stored. A conflict stays what it is.
func notStored(err error) error {
	var conflict *eventlog.ConflictError
	var broken *eventlog.BrokenError
	switch {
	case errors.As(err, &conflict):
		return err
	case errors.Is(err, eventlog.ErrUnclear):
		return fault.Wrap(fault.Unavailable, "it is unclear whether the change was stored: read the configuration again", err)
	case errors.Is(err, eventlog.ErrNotStored):
		return fault.Wrap(fault.Unavailable, "NATS is away; nothing was changed", err)
	case errors.As(err, &broken):
		return fault.Wrap(fault.Unavailable, "the configuration log is broken; nothing was changed", err)
	case errors.Is(err, eventlog.ErrTooLarge):
		return unfit("the change is too large for one commit; make it in several", nil)
	default:
		return fault.Wrap(fault.Unavailable, "NATS does not store the change", err)
	}
}

// committed notes what was stored, and waits until this instance shows it, so that who reads after writing
// reads what was written.
func (a *api) committed(ctx context.Context, c command, out *outcome) {
	a.metrics.commits.Inc()
	a.log.LogAttrs(ctx, slog.LevelInfo, "configuration changed", slog.Uint64("sequence", out.state.Seq),
		slog.String("who", c.who.Name), slog.String("address", c.who.Address), slog.String("why", c.why),
		slog.String("request_id", c.requestID), slog.String("facts", strings.Join(facts.Types(out.facts), " ")))
	ctx, cancel := context.WithTimeout(ctx, a.settings.CatchUp)
	defer cancel()
	if _, err := a.follower.AtLeast(ctx, out.state.Seq); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "a stored change is not followed yet", slog.Uint64("sequence", out.state.Seq), slog.Any("error", err))
	}
}
