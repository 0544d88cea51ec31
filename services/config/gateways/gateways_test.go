package gateways

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func state(seq uint64) eventlog.State {
	return eventlog.State{Seq: seq, Hash: eventlog.Hash{byte(seq)}}
}

// at is a log of five commits; that of tokens is like it.
func at(_ Log, seq uint64) (eventlog.State, bool) {
	switch {
	case seq == 0:
		return eventlog.State{}, true
	case seq > 5:
		return eventlog.State{}, false
	default:
		return state(seq), true
	}
}

func beat(id, instance string, seq uint64, at time.Time) *configv1.GatewayBeat {
	s := state(seq)
	return &configv1.GatewayBeat{
		Id: id, Instance: instance, Sequence: seq, Hash: s.Hash[:], At: timestamppb.New(at), StartedAt: timestamppb.New(at.Add(-time.Hour)),
	}
}

func signOff(b *configv1.GatewayBeat) *configv1.GatewayBeat {
	b.SigningOff = true
	return b
}

func ids(list []Gateway) []string {
	out := []string{}
	for _, g := range list {
		text := g.ID
		if g.Live {
			text += " live"
		}
		if g.Applied {
			text += " applied"
		}
		out = append(out, text)
	}
	return out
}

func (t *Tracker) want(tb testing.TB, what string, now time.Time, wanted ...string) {
	tb.Helper()
	if diff := cmp.Diff(append([]string{}, wanted...), ids(t.List(now, state(5), eventlog.State{}))); diff != "" {
		tb.Errorf("%s: %s", what, diff)
	}
}

func TestTheListOverTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at})
	k.hear(beat("a", "1", 5, now), now)
	k.hear(beat("b", "1", 4, now), now)
	k.want(t, "both live", now.Add(time.Second), "a live applied", "b live")
	k.want(t, "silent", now.Add(3*time.Second), "a applied", "b")
	if diff := cmp.Diff([]string{"b"}, k.Pending(Config, state(5))); diff != "" {
		t.Error("a silent one is pending too: ", diff)
	}
	k.take(map[string]listed{"b": {beat: beat("b", "1", 4, now), revision: 7, written: now}}, now.Add(10*time.Second))
	k.want(t, "a is off the list, b is in the bucket", now.Add(14*time.Second), "b")
	k.hear(beat("b", "2", 5, now.Add(20*time.Second)), now.Add(20*time.Second))
	k.hear(beat("b", "1", 4, now.Add(19*time.Second)), now.Add(20*time.Second))
	k.want(t, "the later instance counts", now.Add(20*time.Second), "b live applied")
	k.hear(signOff(beat("b", "1", 4, now.Add(19*time.Second))), now.Add(20*time.Second))
	k.want(t, "an earlier one signs off", now.Add(20*time.Second), "b live applied")
	k.hear(signOff(beat("b", "2", 5, now.Add(21*time.Second))), now.Add(21*time.Second))
	k.want(t, "signed off", now.Add(21*time.Second))
	k.hear(beat("b", "2", 5, now.Add(21*time.Second)), now.Add(21*time.Second))
	k.take(map[string]listed{"b": {beat: beat("b", "2", 5, now), revision: 9, written: now}}, now.Add(22*time.Second))
	k.want(t, "what was on its way does not bring it back", now.Add(22*time.Second))
	k.take(nil, now.Add(23*time.Second))
	k.hear(beat("b", "3", 5, now.Add(24*time.Second)), now.Add(24*time.Second))
	k.want(t, "a new instance does", now.Add(24*time.Second), "b live applied")
}

func TestAfterARestartTheSilentAreKnown(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at})
	if k.Loaded() {
		t.Error("loaded before it was read")
	}
	k.take(map[string]listed{
		"old":   {beat: beat("old", "1", 5, now.Add(-time.Minute)), revision: 1, written: now.Add(-time.Minute)},
		"fresh": {beat: beat("fresh", "1", 5, now), revision: 2, written: now},
		"ahead": {beat: beat("ahead", "1", 5, now), revision: 3, written: now.Add(time.Hour)},
	}, now)
	k.want(t, "by what the bucket says", now, "ahead live applied", "fresh live applied", "old applied")
	if live, listed := k.Live(now); live != 2 || listed != 3 || !k.Loaded() {
		t.Error(live, listed)
	}
}

// TestAppliedIsByHistory: a sequence alone proves nothing.
func TestAppliedIsByHistory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at})
	k.take(nil, now)
	forked, troubled, empty := beat("forked", "1", 5, now), beat("troubled", "1", 5, now), beat("empty", "1", 0, now)
	forked.Hash = []byte{77}
	troubled.Trouble = "log forked at 5"
	empty.Hash = nil
	for _, b := range []*configv1.GatewayBeat{forked, troubled, empty, beat("ahead", "1", 6, now), beat("behind", "1", 4, now), beat("good", "1", 5, now)} {
		k.hear(b, now)
	}
	if diff := cmp.Diff([]string{"ahead", "behind", "empty", "forked", "troubled"}, k.Pending(Config, state(5))); diff != "" {
		t.Error("of 5: ", diff)
	}
	if diff := cmp.Diff([]string{"ahead", "forked", "troubled"}, k.Pending(Config, eventlog.State{})); diff != "" {
		t.Error("of the empty log: ", diff)
	}
	want := []Stranger{{ID: "ahead", State: state(6)}, {ID: "forked", State: eventlog.State{Seq: 5, Hash: eventlog.Hash{77}}}}
	if diff := cmp.Diff(want, k.Strangers(Config)); diff != "" {
		t.Error(diff)
	}
	for _, g := range k.List(now, state(5), eventlog.State{}) {
		if g.Known == (g.ID == "ahead" || g.ID == "forked") {
			t.Errorf("%s is known: %t", g.ID, g.Known)
		}
	}
}

func TestListened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := NewTracker(testkit.Logger(t), Options{At: at})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.Listened(ctx, 0); err == nil {
			t.Error("it has listened before it was subscribed")
		}
		start := time.Now()
		k.hearing = start.Add(-time.Second)
		if err := k.Listened(t.Context(), 3*time.Second); err != nil || time.Since(start) != 2*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// TestASilentGatewayWithoutAnEntry stays on the list for as long as one that has an entry: it may still answer.
func TestASilentGatewayWithoutAnEntry(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at, ListedFor: func() time.Duration { return time.Hour }})
	k.hear(beat("a", "1", 5, now), now)
	k.take(nil, now.Add(59*time.Minute))
	k.want(t, "silent", now.Add(59*time.Minute), "a applied")
	k.take(nil, now.Add(time.Hour))
	k.want(t, "for too long", now.Add(time.Hour))
}

// TestARevisionIsAsOldAsItWasWritten: the bucket could not be read for an hour.
func TestARevisionIsAsOldAsItWasWritten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at})
	k.take(map[string]listed{"a": {beat: beat("a", "1", 5, now), revision: 1, written: now}}, now)
	died, later := now.Add(time.Minute), now.Add(time.Hour)
	k.take(map[string]listed{"a": {beat: beat("a", "1", 5, died), revision: 2, written: died}}, later)
	k.want(t, "silent since it was written", later, "a applied")
	if seen := k.List(later, state(5), eventlog.State{})[0].LastSeen; !seen.Equal(died) {
		t.Errorf("last seen %s, written %s", seen, died)
	}
	again := later.Add(time.Second)
	k.take(map[string]listed{"a": {beat: beat("a", "1", 5, again), revision: 3, written: again}}, again)
	k.want(t, "written just now", again, "a live applied")
}

func TestLowestLevel(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := NewTracker(testkit.Logger(t), Options{At: at})
	if level, id := k.LowestLevel(now); level != 0 || id != "" {
		t.Error(level, id)
	}
	high := beat("a", "1", 5, now)
	high.FactLevel = 4
	k.hear(high, now)
	k.hear(beat("b", "1", 5, now), now.Add(-time.Minute)) // says no level, and is silent
	if level, id := k.LowestLevel(now); level != 1 || id != "b" {
		t.Error("young: ", level, id)
	}
	later := now.Add(4 * time.Second)
	high.At = timestamppb.New(later)
	k.hear(high, later)
	if level, id := k.LowestLevel(later); level != 4 || id != "a" {
		t.Error("later: ", level, id)
	}
}

func TestWaitIsForWhoLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := NewTracker(testkit.Logger(t), Options{At: at})
		k.take(nil, time.Now())
		k.hear(beat("quick", "1", 4, time.Now()), time.Now())
		k.hear(beat("dying", "1", 4, time.Now()), time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		go func() {
			<-time.After(time.Second)
			k.hear(beat("quick", "1", 5, time.Now()), time.Now())
		}()
		k.Wait(ctx, Config, state(5))
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("returned after %s", took)
		}
		if diff := cmp.Diff([]string{"dying"}, k.Pending(Config, state(5))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOverNATS(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	// Nobody falls off the list because the machine stands still for a while.
	k := NewTracker(testkit.Logger(t), Options{At: at, Every: 20 * time.Millisecond, LiveWithin: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx, n.JetStream(t, topology.Config)) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	gateway := n.JetStream(t, topology.Gateway)
	bucket, err := gateway.KeyValue(ctx, topology.BucketGateways)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b *configv1.GatewayBeat) []byte {
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := k.Listened(ctx, 0); err != nil { // a beat before is nobody's
		t.Fatal(err)
	}
	now := time.Now()
	for _, id := range []string{"silent", "leaver"} {
		if _, err := bucket.Put(ctx, id, put(beat(id, "1", 5, now))); err != nil {
			t.Fatal(err)
		}
	}
	if err := gateway.Conn().Publish(topology.GatewayBeat("beater"), put(beat("beater", "1", 4, now))); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Conn().Publish(topology.GatewayBeat("liar"), put(beat("other", "1", 4, now)))
	_ = gateway.Conn().Publish(topology.GatewayBeat("junk"), []byte("\xff\xff"))
	k.until(t, "all three", "beater", "leaver applied", "silent applied")
	if err := bucket.Delete(ctx, "leaver"); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Conn().Publish(topology.GatewayBeat("leaver"), put(signOff(beat("leaver", "1", 5, now))))
	k.until(t, "one has left", "beater", "silent applied")
}

// until waits for a list, whoever lives.
func (t *Tracker) until(tb testing.TB, what string, wanted ...string) {
	tb.Helper()
	testkit.Until(tb, what, func() bool {
		return cmp.Equal(ids(t.List(time.Now().Add(2*time.Hour), state(5), eventlog.State{})), wanted)
	})
}
