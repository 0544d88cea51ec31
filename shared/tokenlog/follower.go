package tokenlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

// Options of a Follower. All are optional.
type Options struct {
	// OnCommit is called for each commit once it is folded, in order.
	OnCommit func(eventlog.Commit, *configv1.Commit, []proto.Message)
	// OnPublish is called when what was folded is found.
	OnPublish func()
	// Repair and Retry are those of an eventlog.Tail.
	Repair func(context.Context, eventlog.State) ([]eventlog.Commit, error)
	Retry  time.Duration
}

// Follower keeps a Registry as the token log has it.
type Follower struct {
	// Registry holds no token before the log was read to its end once.
	Registry Registry

	tail  *eventlog.Tail
	opts  Options
	state atomic.Pointer[eventlog.State]
}

// NewFollower gives a follower of events; Run makes it follow.
func NewFollower(log *slog.Logger, events *eventlog.Log, opts Options) *Follower {
	f := &Follower{opts: opts}
	f.tail = eventlog.NewTail(log, events, eventlog.TailOptions{
		Name: "tokens", Apply: f.apply, Publish: f.publish, Repair: opts.Repair, Retry: opts.Retry,
	})
	return f
}

// State gives what the Registry holds; ok: the log was read to its end once.
func (f *Follower) State() (at eventlog.State, ok bool) {
	s := f.state.Load()
	if s == nil {
		return at, false
	}
	return *s, true
}

// Changed gives a channel that is closed at the next change.
func (f *Follower) Changed() <-chan struct{} { return f.tail.Changed() }

// Status tells how following goes.
func (f *Follower) Status() eventlog.Status { return f.tail.Status() }

// Reached waits until the Registry has reached a sequence, or gives ctx's error.
func (f *Follower) Reached(ctx context.Context, seq uint64) error {
	if err := f.tail.Reached(ctx, seq); err != nil {
		return fmt.Errorf("wait for token log %d: %w", seq, err)
	}
	return nil
}

// Run follows the log until ctx ends; see the package comment for what it does when the log is away or broken.
func (f *Follower) Run(ctx context.Context) { f.tail.Run(ctx) }

// Decode reads a commit of the token log; see factlog.Decode.
func Decode(data []byte) (*configv1.Commit, []proto.Message, error) {
	return factlog.Decode(tokenv1.File_token_v1_facts_proto, data)
}

func (f *Follower) apply(c eventlog.Commit) error {
	commit, facts, err := Decode(c.Data)
	if err != nil {
		return err
	}
	if err := f.Registry.Fold(facts, commit.GetAt().AsTime()); err != nil {
		return err
	}
	if f.opts.OnCommit != nil {
		f.opts.OnCommit(c, commit, facts)
	}
	return nil
}

func (f *Follower) publish(_ context.Context, at eventlog.State) error {
	f.Registry.Publish()
	f.state.Store(&at)
	if f.opts.OnPublish != nil {
		f.opts.OnPublish()
	}
	return nil
}
