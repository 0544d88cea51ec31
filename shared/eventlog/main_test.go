package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fast are intervals short enough for a test. What is missing for 200 ms is called lost.
var fast = eventlog.Options{Check: 100 * time.Millisecond, Attempt: 500 * time.Millisecond, Pause: 5 * time.Millisecond}

// open gives the configuration log with the rights of the service config.
func open(t testing.TB, n *testkit.NATS) *eventlog.Log {
	t.Helper()
	return eventlog.New(n.JetStream(t, topology.Config), topology.ConfigLog(), fast)
}

// openTapped is open through a connection that a test can do harm to, and which comes back at once.
func openTapped(t testing.TB, n *testkit.NATS, s topology.Service, wire *tap) *eventlog.Log {
	t.Helper()
	if wire.inner == nil {
		wire.inner = n
	}
	auth, err := nats.NkeyOptionFromSeed(n.Settings(s).SeedFile)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("", auth, nats.InProcessServer(wire), nats.CustomInboxPrefix(topology.Inbox(s)),
		nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return eventlog.New(js, topology.ConfigLog(), fast)
}

// fill appends commits of unlike bytes and gives the States, that of the empty log first.
func fill(t testing.TB, log *eventlog.Log, at eventlog.State, n int, what string) []eventlog.State {
	t.Helper()
	states := []eventlog.State{at}
	for i := range n {
		next, err := log.Append(t.Context(), at, fmt.Appendf(nil, "%s %d, request %d", what, i, at.Seq))
		if err != nil {
			t.Fatal(err)
		}
		at = next
		states = append(states, at)
	}
	return states
}

var errEnough = errors.New("enough")

// read gives what the log holds behind a State.
func read(ctx context.Context, log *eventlog.Log, from eventlog.State) ([]eventlog.Commit, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var got []eventlog.Commit
	err := log.Follow(ctx, from, eventlog.Follower{
		Apply:   func(c eventlog.Commit) error { got = append(got, c); return nil },
		Settled: func(eventlog.State) { stop(errEnough) },
	})
	if !errors.Is(err, errEnough) {
		return got, fmt.Errorf("follow from %d: %w after %d commits", from.Seq, err, len(got))
	}
	return got, nil
}

// mustRead is read of a log that is whole.
func mustRead(t testing.TB, log *eventlog.Log) []eventlog.Commit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := read(ctx, log, eventlog.State{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eventlog.Verify(eventlog.State{}, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// followed is a Follow under way.
type followed struct {
	mu      sync.Mutex
	changed chan struct{} // closed at each change
	at      eventlog.State
	applied []eventlog.Commit
	settled int // times
	away    []error
	ended   error
	done    chan struct{}
}

// follow follows in the background until it breaks or the test ends.
func follow(t testing.TB, log *eventlog.Log, from eventlog.State) *followed {
	t.Helper()
	f := &followed{at: from, changed: make(chan struct{}), done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		defer close(f.done)
		err := log.Follow(ctx, from, eventlog.Follower{
			Apply: func(c eventlog.Commit) error {
				f.change(func() { f.at, f.applied = c.State, append(f.applied, c) })
				return nil
			},
			Settled: func(eventlog.State) { f.change(func() { f.settled++ }) },
			Away:    func(err error) { f.change(func() { f.away = append(f.away, err) }) },
		})
		f.change(func() { f.ended = err })
	}()
	t.Cleanup(func() {
		stop()
		<-f.done
		if _, err := eventlog.Verify(from, f.applied); err != nil {
			t.Errorf("a follower applied what does not fit: %v", err)
		}
	})
	return f
}

func (f *followed) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits until the follower is as cond says; it fails the test after a while.
func (f *followed) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		ok, ended, changed := cond(), f.ended != nil, f.changed
		f.mu.Unlock()
		switch {
		case ok:
			return
		case ended:
			f.gaveUp(t, what)
		}
		select {
		case <-changed:
		case <-deadline:
			f.gaveUp(t, what)
		}
	}
}

func (f *followed) gaveUp(t testing.TB, what string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Fatalf("waited for %s: at %d, settled %d times, away %v, ended %v", what, f.at.Seq, f.settled, f.away, f.ended)
}

func (f *followed) reaches(t testing.TB, s eventlog.State) {
	t.Helper()
	f.until(t, fmt.Sprintf("commit %d", s.Seq), func() bool { return f.at == s })
}

// settles waits until the follower has heard the stream once more.
func (f *followed) settles(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	before := f.settled
	f.mu.Unlock()
	f.until(t, "settled", func() bool { return f.settled > before })
}

// breaks waits until following has ended with an error of this kind at this sequence.
func (f *followed) breaks(t testing.TB, kind eventlog.Kind, seq uint64) {
	t.Helper()
	f.until(t, string(kind), func() bool { return f.ended != nil })
	wantBroken(t, f.ended, kind, seq)
}

func wantBroken(t testing.TB, err error, kind eventlog.Kind, seq uint64) {
	t.Helper()
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) || broken.Kind != kind || broken.Seq != seq {
		t.Errorf("got %v, want log %s at %d", err, kind, seq)
	}
}
