package configlog_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fast are intervals short enough for a test.
var fast = eventlog.Options{Check: 50 * time.Millisecond, Attempt: 500 * time.Millisecond, Pause: 5 * time.Millisecond}

// encode gives a commit of facts; id makes its bytes unlike any other's.
func encode(t testing.TB, id uint64, facts ...proto.Message) []byte {
	t.Helper()
	data, err := factlog.Encode(&configv1.Commit{RequestId: strconv.FormatUint(id, 10)}, facts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writer appends to the log of a server as config does.
type writer struct {
	t   testing.TB
	log *eventlog.Log
	at  eventlog.State
}

func write(t testing.TB, n *testkit.NATS) *writer {
	t.Helper()
	return &writer{t: t, log: eventlog.New(n.JetStream(t, topology.Config), topology.ConfigLog(), fast)}
}

// commit appends facts and gives the State behind them.
func (w *writer) commit(facts ...proto.Message) eventlog.State {
	w.t.Helper()
	return w.raw(encode(w.t, w.at.Seq, facts...))
}

func (w *writer) raw(data []byte) eventlog.State {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	next, err := w.log.Append(ctx, w.at, data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at = next
	return next
}

// follow runs a Follower, with a gateway's rights, until the test ends.
func follow(t testing.TB, n *testkit.NATS, opts configlog.Options) *configlog.Follower {
	t.Helper()
	if opts.Retry == 0 {
		opts.Retry = 20 * time.Millisecond
	}
	f := configlog.NewFollower(testkit.Logger(t), eventlog.New(n.JetStream(t, topology.Gateway), topology.ConfigLog(), fast), opts)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return f
}

// reaches waits until a follower is at a State.
func reaches(t testing.TB, f *configlog.Follower, at eventlog.State) *configlog.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := f.AtLeast(ctx, at.Seq)
	if err != nil {
		t.Fatalf("%v; %+v", err, f.Status())
	}
	if s.State != at {
		t.Fatalf("at %v, want %v", s.State, at)
	}
	return s
}

// until waits until a follower's Status is as cond says.
func until(t testing.TB, f *configlog.Follower, what string, cond func(eventlog.Status) bool) eventlog.Status {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if s := f.Status(); cond(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s: %+v", what, f.Status())
		}
	}
}

func heard(s eventlog.Status) bool   { return !s.HeardAt.IsZero() && s.Trouble == "" }
func trouble(s eventlog.Status) bool { return s.Trouble != "" }

func registered(site string) proto.Message {
	return &configv1.SiteRegistered{Site: site, Product: "jira"}
}
