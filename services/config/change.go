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
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
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
	// forcesTests: saved tests may fail.
	forcesTests bool
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
const maxRaces = 20

// decision is a change that may follow the state it was decided on.
type decision struct {
	from *configlog.Snapshot
	*proposal
	all    []proto.Message // the facts; none: nothing changes
	commit []byte
}

func (d *decision) outcome() *outcome {
	return &outcome{state: d.from.State, facts: d.all, warnings: d.warnings}
}

// change makes a change: decided on one state, stored whole or not at all. This instance makes one at a time;
// two instances are kept apart by the log.
func (a *api) change(ctx context.Context, c command) (*outcome, error) {
	for race := 1; ; race++ {
		out, err := a.attempt(ctx, c)
		var conflict *eventlog.ConflictError
		if !errors.As(err, &conflict) {
			return out, err
		}
		now, err := a.caughtUp(ctx, conflict.Found.Seq)
		switch {
		case err != nil:
			return nil, fault.Wrap(fault.Unavailable, "another change was first; nothing was changed", err)
		case !c.condition.any || race == maxRaces:
			return nil, stale(now.State)
		}
	}
}

// attempt decides on a change and stores it. While its saved tests run, which takes seconds, others have their turn; should one
// of them change the configuration, the tests have proved nothing.
func (a *api) attempt(ctx context.Context, c command) (out *outcome, err error) {
	var d *decision
	err = a.inTurn(ctx, func(ctx context.Context) error {
		if d, err = a.decide(ctx, c); err == nil && len(d.tests()) == 0 {
			out, err = a.store(ctx, c, d)
		}
		return err
	})
	if err != nil || out != nil {
		return out, err
	}
	if err := a.tested(ctx, c, d); err != nil {
		return nil, err
	}
	err = a.inTurn(ctx, func(ctx context.Context) error {
		now, err := a.current(ctx, c)
		if err == nil && now.State != d.from.State {
			err = &eventlog.ConflictError{Found: now.State}
		}
		if err == nil {
			out, err = a.store(ctx, c, d)
		}
		return err
	})
	return out, err
}

// inTurn does what only one at a time does. A client that goes away meanwhile changes nothing: what was begun is finished.
func (a *api) inTurn(ctx context.Context, do func(context.Context) error) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "no longer waited for", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.settings.AppendTimeout)
	defer cancel()
	return do(ctx)
}

// decide gives the change that may be made to what there is.
func (a *api) decide(ctx context.Context, c command) (*decision, error) {
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
	d := &decision{from: from, proposal: p, all: p.facts(from.Config)}
	if len(d.all) > 0 {
		d.commit, err = a.encode(c, from, p, d.all)
	}
	return d, err
}

// store makes a change that was decided on.
func (a *api) store(ctx context.Context, c command, d *decision) (*outcome, error) {
	if len(d.all) == 0 || c.dryRun {
		return d.outcome(), nil
	}
	if len(d.seals) > 0 {
		err := a.sealAll(ctx, d.to, d.seals)
		if err != nil {
			return nil, err
		}
		d.all = d.facts(d.from.Config)
		if d.commit, err = a.encode(c, d.from, d.proposal, d.all); err != nil {
			return nil, err
		}
	}
	after, err := a.events.Append(ctx, d.from.State, d.commit)
	if err != nil {
		return nil, notStored(err)
	}
	out := d.outcome()
	out.state = after
	a.committed(ctx, c, out)
	return out, nil
}

// caughtUp waits until this instance shows a sequence.
func (a *api) caughtUp(ctx context.Context, seq uint64) (*configlog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, a.settings.CatchUp)
	defer cancel()
	return a.follower.AtLeast(ctx, seq)
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
		if later, err := a.caughtUp(ctx, seq); err == nil {
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
				"gateway %s knows facts up to level %d, %s has level %d: update the gateways first", id, level, factlog.TypeOf(f), needs))
		}
	}
	data, err := factlog.Encode(&configv1.Commit{
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
	if _, err := a.caughtUp(ctx, out.state.Seq); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "a stored change is not followed yet", slog.Uint64("sequence", out.state.Seq), slog.Any("error", err))
	}
}
