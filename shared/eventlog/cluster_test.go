package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// attempted is an append that was made, and what was said of it.
type attempted struct {
	at   eventlog.State
	data string
	next eventlog.State // when err is nil
	err  error
	end  time.Time
}

// recorder keeps what appends were made and what was said of them.
type recorder struct {
	mu      sync.Mutex
	made    []attempted
	unclear int // appends whose context ended, made again until they were decided
	changed chan struct{}
}

func (r *recorder) add(a attempted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.end = time.Now()
	r.made = append(r.made, a)
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until count appends have succeeded that were made at or after since.
func (r *recorder) await(t testing.TB, since time.Time, count int) time.Time {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		n, first, changed := 0, time.Time{}, r.changed
		for _, a := range slices.Backward(r.made) {
			if a.end.Before(since) {
				break
			}
			if a.err == nil {
				n, first = n+1, a.end
			}
		}
		r.mu.Unlock()
		if n >= count {
			return first
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("no append succeeds any more")
		}
	}
}

// write appends commits behind what f follows until ctx ends; whatever it began it finds out about.
func (r *recorder) write(ctx context.Context, t *testing.T, log *eventlog.Log, f *followed, name string) {
	for i := 0; ctx.Err() == nil; i++ {
		a := attempted{at: f.now(), data: fmt.Sprintf("%s commit %d", name, i)}
		r.decide(ctx, log, &a)
		r.add(a)
		var conflict *eventlog.ConflictError
		switch {
		case a.err == nil:
			f.until(t, "own commit", func() bool { return f.at.Seq >= a.next.Seq })
		case errors.As(a.err, &conflict):
			f.until(t, "rival's commit", func() bool { return f.at.Seq >= conflict.Found.Seq })
		case errors.Is(a.err, eventlog.ErrNotStored):
		default:
			t.Errorf("%s: append after %v: %v", name, a.at, a.err)
			return
		}
		<-time.After(rand.N(10 * time.Millisecond))
	}
}

// decide makes an append, again and again while its outcome is unclear.
func (r *recorder) decide(ctx context.Context, log *eventlog.Log, a *attempted) {
	for patience := 2 * time.Second; ; patience = time.Minute {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		a.next, a.err = log.Append(try, a.at, []byte(a.data))
		cancel()
		if !errors.Is(a.err, eventlog.ErrUnclear) {
			return
		}
		r.mu.Lock()
		r.unclear++
		r.mu.Unlock()
	}
}

// writeStale appends behind States that are known to have a successor; none of it may succeed.
func (r *recorder) writeStale(ctx context.Context, log *eventlog.Log, f *followed) {
	for i := 0; ctx.Err() == nil; i++ {
		f.mu.Lock()
		var at eventlog.State
		if n := len(f.applied); n > 1 {
			at = f.applied[n-2-rand.N(min(n-1, 3))].State
		}
		stale := len(f.applied) > 1
		f.mu.Unlock()
		if stale {
			a := attempted{at: at, data: fmt.Sprintf("stale commit %d", i)}
			r.decide(ctx, log, &a)
			r.add(a)
		}
		<-time.After(rand.N(10 * time.Millisecond))
	}
}

func (f *followed) now() eventlog.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// TestLeaderKills has three writers and a stale one append to three real servers while the stream's leader
// is killed with -9, frozen, or killed with another one, and started again: nothing stale is accepted,
// nothing is lost, nothing doubled. It takes some seven minutes, in which the machine mostly waits for elections.
func TestLeaderKills(t *testing.T) {
	t.Parallel()
	faults := slices.Repeat([]string{"kill", "kill", "freeze", "kill", "kill", "kill two", "kill"}, 9) // 54 leaders killed
	if testing.Short() {
		faults = faults[1:4]
	}
	c := testkit.StartCluster(t)
	opts := eventlog.Options{Check: 300 * time.Millisecond, Attempt: time.Second, Pause: 20 * time.Millisecond}
	connect := func(s topology.Service) *eventlog.Log {
		return eventlog.New(c.JetStream(t, s), topology.ConfigLog(), opts)
	}
	writers := []*eventlog.Log{connect(topology.Config), connect(topology.Config), connect(topology.Config), connect(topology.Config)}
	rush(t, writers)
	before := len(mustRead(t, writers[0]))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	good, stale := &recorder{changed: make(chan struct{})}, &recorder{changed: make(chan struct{})}
	followers := []*followed{
		follow(t, connect(topology.Gateway), eventlog.State{}),
		follow(t, connect(topology.Introspection), eventlog.State{}),
		follow(t, connect(topology.Audit), eventlog.State{}),
	}
	for i, log := range writers[1:] {
		f := follow(t, log, eventlog.State{})
		group.Go(func() { good.write(ctx, t, log, f, fmt.Sprintf("writer %d", i)) })
	}
	staleKnows := follow(t, writers[0], eventlog.State{})
	group.Go(func() { stale.writeStale(ctx, writers[0], staleKnows) })

	admin := c.JetStream(t, topology.Config)
	var stalls []time.Duration
	for _, fault := range faults {
		good.await(t, time.Now(), 20)
		stalls = append(stalls, inflict(t, c, admin, good, fault))
		if t.Failed() {
			break
		}
	}
	good.await(t, time.Now(), 20)
	stop()
	group.Wait()
	last := report(t, mustRead(t, writers[0])[before:], good, stale)
	for _, f := range followers {
		f.reaches(t, last)
	}
	slices.Sort(stalls)
	t.Logf("faults %d, stalls: shortest %v, median %v, longest %v", len(stalls), stalls[0], stalls[len(stalls)/2], stalls[len(stalls)-1])
}

// inflict does one fault to the stream's leader and gives how long no append succeeded.
func inflict(t *testing.T, c *testkit.Cluster, js jetstream.JetStream, good *recorder, fault string) time.Duration {
	t.Helper()
	leader := leaderOf(t, c, js)
	other := (leader + 1 + rand.N(2)) % 3
	start := time.Now()
	switch fault {
	case "freeze":
		c.Pause(t, leader)
	case "kill two":
		c.Kill(other)
		c.Kill(leader)
		<-time.After(2 * time.Second) // without a quorum
		c.Start(t, other)
	default:
		c.Kill(leader)
	}
	stall := good.await(t, start.Add(50*time.Millisecond), 3).Sub(start) // an acknowledgement may still have been on its way
	if fault == "freeze" {
		c.Resume(t, leader)
	} else {
		c.Start(t, leader)
	}
	c.Settle(t, js, topology.StreamConfig)
	return stall
}

func leaderOf(t *testing.T, c *testkit.Cluster, js jetstream.JetStream) int {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		leader, err := c.Leader(ctx, js, topology.StreamConfig)
		cancel()
		if err == nil {
			return leader
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// report holds what writers were told against what the log holds, and gives its State.
func report(t *testing.T, log []eventlog.Commit, good, stale *recorder) eventlog.State {
	t.Helper()
	places := map[string][]eventlog.State{}
	for _, c := range log {
		places[string(c.Data)] = append(places[string(c.Data)], c.State)
	}
	var successes, conflicts, notStored, accepted, lost, doubled, ghosts int
	for _, a := range stale.made {
		if a.err == nil {
			accepted++
		}
	}
	for _, a := range slices.Concat(good.made, stale.made) {
		at := places[a.data]
		delete(places, a.data)
		var conflict *eventlog.ConflictError
		switch {
		case a.err == nil:
			successes++
			if !slices.Contains(at, a.next) {
				lost++
			}
		case errors.As(a.err, &conflict):
			conflicts++
		default:
			notStored++
		}
		if len(at) > 1 {
			doubled++
		}
		if a.err != nil && len(at) > 0 {
			ghosts++
		}
	}
	t.Logf("appends %d: succeeded %d, conflicts %d, not stored %d; unclear and made again %d; commits %d",
		len(good.made)+len(stale.made), successes, conflicts, notStored, good.unclear+stale.unclear, len(log))
	t.Logf("stale attempts %d, accepted %d; lost %d, doubled %d, refused but there %d, of nobody %d",
		len(stale.made), accepted, lost, doubled, ghosts, len(places))
	if accepted+lost+doubled+ghosts+len(places) > 0 || successes != len(log) {
		t.Error("the log is not what its writers were told")
	}
	return log[len(log)-1].State
}

// rush has many writers append to one State at the same moment: one of them succeeds.
func rush(t *testing.T, logs []*eventlog.Log) {
	t.Helper()
	var at eventlog.State
	for round := range 40 {
		begin := make(chan struct{})
		results := make(chan attempted, len(logs))
		for w, log := range logs {
			go func() {
				<-begin
				next, err := log.Append(t.Context(), at, fmt.Appendf(nil, "round %d writer %d", round, w))
				results <- attempted{next: next, err: err}
			}()
		}
		close(begin)
		var winner eventlog.State
		var found []eventlog.State
		for range logs {
			a := <-results
			var conflict *eventlog.ConflictError
			switch {
			case a.err == nil && winner.Seq == 0:
				winner = a.next
			case errors.As(a.err, &conflict):
				found = append(found, conflict.Found)
			default:
				t.Fatalf("round %d: %v, %v", round, a.next, a.err)
			}
		}
		if i := slices.IndexFunc(found, func(s eventlog.State) bool { return s != winner }); i >= 0 {
			t.Fatalf("round %d: a loser found %v, the winner is %v", round, found[i], winner)
		}
		at = winner
	}
}

// TestNoQuorum: when two of three servers are gone the third still answers what it has. It may be behind, and
// nobody may take that for the end of the log, nor for news of it. See also TestAMemberWithoutALeader.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	c := testkit.StartCluster(t)
	js := c.JetStream(t, topology.Config)
	opts := eventlog.Options{Check: 100 * time.Millisecond, Attempt: 500 * time.Millisecond}
	log := eventlog.New(js, topology.ConfigLog(), opts)
	f := follow(t, eventlog.New(c.JetStream(t, topology.Gateway), topology.ConfigLog(), opts), eventlog.State{})
	states := fill(t, log, eventlog.State{}, 3, "seen by all")
	leader := leaderOf(t, c, js)
	other, behind := (leader+1)%3, (leader+2)%3
	c.Pause(t, behind)
	last := fill(t, log, states[3], 1, "seen by two")[1]
	f.reaches(t, last)
	c.Kill(leader)
	c.Kill(other)
	c.Resume(t, behind)
	for info := (*jetstream.StreamInfo)(nil); info == nil; <-time.After(100 * time.Millisecond) { // it answers only once it runs for 10 s
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if s, err := js.Stream(ctx, topology.StreamConfig); err == nil {
			info = s.CachedInfo()
			t.Logf("leader %q, last %d", info.Cluster.Leader, info.State.LastSeq) // 3 or, when the commit was already on its way, 4
		}
		cancel()
	}
	f.mu.Lock()
	settled, away := f.settled, len(f.away)
	f.mu.Unlock()
	f.until(t, "away", func() bool { return len(f.away) >= away+10 || f.ended != nil })
	if f.settled != settled || f.ended != nil {
		t.Errorf("settled %d times, ended %v", f.settled-settled, f.ended)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := log.Append(ctx, last, []byte("nobody takes it")); !errors.Is(err, eventlog.ErrNotStored) {
		t.Errorf("append: %v", err)
	}
	c.Start(t, leader)
	c.Start(t, other)
	f.reaches(t, fill(t, log, last, 1, "seen again")[1])
}
