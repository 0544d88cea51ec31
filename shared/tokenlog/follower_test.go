package tokenlog_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

var fast = eventlog.Options{Check: 50 * time.Millisecond, Attempt: 500 * time.Millisecond, Pause: 5 * time.Millisecond}

func follow(t *testing.T, n *testkit.NATS, opts tokenlog.Options) *tokenlog.Follower {
	t.Helper()
	opts.Retry = 20 * time.Millisecond
	f := tokenlog.NewFollower(testkit.Logger(t), eventlog.New(n.JetStream(t, topology.Gateway), topology.TokenLog(), fast), opts)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

func reached(t *testing.T, f *tokenlog.Follower, at eventlog.State) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Reached(ctx, at.Seq); err != nil {
		t.Fatal(err)
	}
	if got, ok := f.State(); !ok || got != at {
		t.Fatalf("%v, want %v", got, at)
	}
}

// TestWhatIsAppendedIsFound by who follows already and by who comes later; what cannot be understood blocks, and what is before
// it counts where something counted before.
func TestWhatIsAppendedIsFound(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	log := eventlog.New(n.JetStream(t, topology.Config), topology.TokenLog(), fast)
	var at eventlog.State
	commit := func(facts ...proto.Message) {
		t.Helper()
		next, err := log.Append(t.Context(), at, encode(t, at.Seq, facts...))
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	var told int
	early := follow(t, n, tokenlog.Options{OnCommit: func(_ eventlog.Commit, c *configv1.Commit, facts []proto.Message) {
		if told++; c.GetRequestId() == "" || len(facts) == 0 {
			t.Errorf("%v %v", c, facts)
		}
	}})
	reached(t, early, eventlog.State{}) // an empty log is a log that was read to its end
	commit(issued(1), issued(2))
	commit(revoked(1))
	reached(t, early, at)
	late := follow(t, n, tokenlog.Options{})
	reached(t, late, at)
	for _, f := range []*tokenlog.Follower{early, late} {
		if one, two := f.Registry.Find(digest(1)), f.Registry.Find(digest(2)); one.Standing(epoch) != tokenlog.Revoked || two.Standing(epoch) != tokenlog.Good || one.IssuedAt != epoch.Unix() {
			t.Errorf("%+v, %+v", one, two)
		}
		testkit.Until(t, "the log to have been heard", func() bool { return !f.Status().HeardAt.IsZero() })
	}
	good := at
	commit(issued(3))
	before := at
	commit(issued(4), &configv1.SiteRegistered{Site: "jira"})
	testkit.Until(t, "it to be blocked", func() bool { return early.Status().BlockedAt == good.Seq+2 })
	reached(t, early, before)
	if early.Registry.Find(digest(3)) == nil || early.Registry.Find(digest(4)) != nil || told != 3 || !strings.Contains(early.Status().Trouble, "SiteRegistered") {
		t.Errorf("%d commits told, %+v", told, early.Status())
	}
	never := follow(t, n, tokenlog.Options{})
	testkit.Until(t, "who comes now to be blocked", func() bool { return never.Status().BlockedAt != 0 })
	if _, ok := never.State(); ok || never.Registry.Find(digest(2)) != nil {
		t.Error("what was never read to its end counts")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := never.Reached(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
