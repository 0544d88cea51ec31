package configlog_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// newer gives a commit that begins with facts we know and ends with one we do not.
func newer(t testing.TB, facts ...proto.Message) []byte {
	t.Helper()
	c := new(configv1.Commit)
	if err := proto.Unmarshal(encode(t, 0, facts...), c); err != nil {
		t.Fatal(err)
	}
	c.Facts = append(c.Facts, &anypb.Any{TypeUrl: "type.googleapis.com/gatehouse.config.v1.MoonPhaseSet"})
	data, err := proto.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAnEmptyLogIsALoadedConfiguration(t *testing.T) {
	t.Parallel()
	f := follow(t, testkit.StartNATS(t), configlog.Options{})
	if s := reaches(t, f, eventlog.State{}); len(s.Config.Sites) != 0 {
		t.Fatalf("got %+v", s.Config)
	}
	until(t, f, "heard", heard)
}

func TestEachCommitIsASnapshot(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w, f := write(t, n), follow(t, n, configlog.Options{})
	for i := range 5 {
		at := w.commit(registered("s" + strconv.Itoa(i)))
		s := reaches(t, f, at)
		if len(s.Config.Sites) != i+1 || s.Config.Site("s"+strconv.Itoa(i)) == nil {
			t.Fatalf("at %d: %+v", at.Seq, s.Config.Sites)
		}
	}
	reaches(t, follow(t, n, configlog.Options{}), w.at)
}

func TestAtLeastEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := configlog.NewFollower(testkit.Logger(t), nil, configlog.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := f.AtLeast(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if f.Snapshot() != nil || f.Status() != (eventlog.Status{}) {
		t.Fatal("something was loaded")
	}
}

func TestEveryCommitIsToldOnceAndInOrder(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w := write(t, n)
	w.commit(registered("a"))
	var mu sync.Mutex
	var told []uint64
	f := follow(t, n, configlog.Options{OnCommit: func(c eventlog.Commit, commit *configv1.Commit, facts []proto.Message) {
		mu.Lock()
		defer mu.Unlock()
		if told = append(told, c.Seq); len(facts) != 1 || commit.GetRequestId() != strconv.FormatUint(c.Seq-1, 10) {
			t.Errorf("commit %d: %v, %v", c.Seq, commit, facts)
		}
	}})
	for i := range 20 {
		w.commit(&configv1.ModeSet{Site: "a", Mode: strconv.Itoa(i)})
	}
	reaches(t, f, w.at)
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 21 || !slices.IsSorted(told) || told[20] != 21 {
		t.Fatalf("told %v", told)
	}
}

func TestAFactOfANewerKindBlocksAndWhatIsBeforeItIsServed(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w, running := write(t, n), follow(t, n, configlog.Options{})
	w.commit(registered("a"))
	good := w.commit(registered("b"))
	reaches(t, running, good)
	until(t, running, "heard", heard)
	w.raw(newer(t, registered("half")))
	w.commit(registered("c"))
	started := follow(t, n, configlog.Options{Start: &configlog.Snapshot{}}) // finds all four at once, as does
	fresh := follow(t, n, configlog.Options{})
	blocked := func(s eventlog.Status) bool { return s.BlockedAt == 3 }
	before := map[string]eventlog.Status{
		"running": until(t, running, "blocked", blocked), "started": until(t, started, "blocked", blocked), "fresh": until(t, fresh, "blocked", blocked),
	}
	w.commit(registered("d"))
	until(t, follow(t, n, configlog.Options{}), "blocked", blocked) // meanwhile the others have tried again
	for name, f := range map[string]*configlog.Follower{"running": running, "started": started, "fresh": fresh} {
		s := f.Status()
		if !strings.Contains(s.Trouble, "MoonPhaseSet") || strings.Contains(s.Trouble, "\n") {
			t.Errorf("%s: trouble %q", name, s.Trouble)
		}
		if s != before[name] || s.HeardAt.IsZero() != (name != "running") {
			t.Errorf("%s: heard on while blocked: %+v, before %+v", name, s, before[name])
		}
		if name == "fresh" {
			if f.Snapshot() != nil {
				t.Error("a configuration of unknown age is served")
			}
			continue
		}
		if snap := reaches(t, f, good); snap.Config.Site("half") != nil || snap.Config.Site("c") != nil || snap.Config.Site("b") == nil {
			t.Errorf("%s: serves %+v", name, snap.Config.Sites)
		}
	}
}

func TestWhatCannotBeDecodedBlocksToo(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w := write(t, n)
	w.raw([]byte("\xff not a commit"))
	f := follow(t, n, configlog.Options{})
	until(t, f, "blocked", func(s eventlog.Status) bool { return s.BlockedAt == 1 })
	if f.Snapshot() != nil {
		t.Fatal("a log that could not be read was published")
	}
}

func TestARefusedSnapshotIsTriedAgain(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w := write(t, n)
	var refuse atomic.Bool
	var last atomic.Pointer[configlog.Snapshot]
	f := follow(t, n, configlog.Options{OnSnapshot: func(_ context.Context, s *configlog.Snapshot) error {
		if refuse.Load() {
			return errors.New("secret not opened")
		}
		last.Store(s)
		return nil
	}})
	first := w.commit(registered("a"))
	reaches(t, f, first)
	until(t, f, "heard", heard)
	refuse.Store(true)
	second := w.commit(registered("b"))
	s := until(t, f, "refused", func(s eventlog.Status) bool { return s.BlockedAt == second.Seq })
	if f.Snapshot().State != first || !strings.Contains(s.Trouble, "take configuration 2: secret not opened") {
		t.Fatalf("at %v: %+v", f.Snapshot().State, s)
	}
	third := w.commit(registered("c"))
	until(t, f, "refused again", func(s eventlog.Status) bool { return s.BlockedAt == third.Seq })
	refuse.Store(false)
	if got := reaches(t, f, third); got != last.Load() {
		t.Fatal("another Snapshot than the one that was taken")
	}
	if got := until(t, f, "heard", heard); !got.HeardAt.After(s.HeardAt) {
		t.Fatalf("heard at %s, before %s", got.HeardAt, s.HeardAt)
	}
}

func TestNATSAwayAndBack(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w, f := write(t, n), follow(t, n, configlog.Options{})
	first := w.commit(registered("a"))
	reaches(t, f, first)
	n.Stop()
	away := until(t, f, "trouble", trouble)
	until(t, follow(t, n, configlog.Options{}), "trouble", trouble) // meanwhile it was tried again
	if s := f.Status(); s.HeardAt != away.HeardAt || s.Trouble == "" || f.Snapshot().State != first {
		t.Fatalf("while away: %+v", s)
	}
	n.Start(t)
	back := until(t, f, "heard", heard)
	if !back.HeardAt.After(away.HeardAt) {
		t.Fatalf("heard at %s, before %s", back.HeardAt, away.HeardAt)
	}
	reaches(t, f, w.commit(registered("b")))
}

func TestAStartIsServedBeforeTheLogIsReached(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w := write(t, n)
	at := w.commit(registered("a"))
	kept := reaches(t, follow(t, n, configlog.Options{}), at)
	before := text(t, kept.Folded)
	n.Stop()
	var told atomic.Int64
	f := follow(t, n, configlog.Options{Start: kept, OnCommit: func(eventlog.Commit, *configv1.Commit, []proto.Message) { told.Add(1) }})
	if f.Snapshot() != kept {
		t.Fatal("not served")
	}
	if s := until(t, f, "trouble", trouble); !s.HeardAt.IsZero() {
		t.Fatalf("heard without NATS: %+v", s)
	}
	n.Start(t)
	until(t, f, "heard", heard)
	s := reaches(t, f, w.commit(&configv1.NodeAttached{Site: "a", Node: "n1"}))
	if len(s.Config.Site("a").Nodes) != 1 || told.Load() != 1 {
		t.Fatalf("%+v, %d commits told", s.Config, told.Load())
	}
	if text(t, kept.Folded) != before {
		t.Fatal("the start has changed")
	}
}

func TestAStartOfAnotherHistoryIsKeptAndSaid(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	w := write(t, n)
	w.commit(registered("a"))
	w.commit(registered("b"))
	start := &configlog.Snapshot{State: eventlog.State{Seq: 1, Hash: eventlog.Hash{1}}}
	f := follow(t, n, configlog.Options{Start: start})
	s := until(t, f, "trouble", trouble)
	if !strings.Contains(s.Trouble, "forked") || s.BlockedAt != 0 || f.Snapshot() != start {
		t.Fatalf("%+v", s)
	}
}

// damaged is a log whose third message is none: after it come good ones again.
type damaged struct {
	n        *testkit.NATS
	commits  []eventlog.Commit // as they were
	site     []string          // each registers one
	lastGood eventlog.State    // before the damage
	end      eventlog.State
}

func damage(t *testing.T) *damaged {
	t.Helper()
	d := &damaged{n: testkit.StartNATS(t), site: []string{"a", "b", "c", "d", "e"}}
	nc := d.n.Connect(t, topology.Config)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i, site := range d.site {
		data := encode(t, d.end.Seq, registered(site))
		next := d.end.Next(data)
		d.commits = append(d.commits, eventlog.Commit{State: next, Prev: d.end.Hash, Data: data})
		msg := nats.NewMsg(topology.ConfigLog().Subject)
		msg.Data = data
		msg.Header.Set(eventlog.HeaderPrev, d.end.Hash.String())
		msg.Header.Set(jetstream.MsgIDHeader, next.Hash.String())
		if i == 2 {
			d.lastGood = d.end
			msg.Header, msg.Data = nil, []byte("garbage")
		}
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		d.end = next
	}
	return d
}

func TestABreakIsNamedAndWhatIsBeforeItIsServed(t *testing.T) {
	t.Parallel()
	d := damage(t)
	f := follow(t, d.n, configlog.Options{Start: &configlog.Snapshot{}})
	reaches(t, f, d.lastGood)
	fresh := follow(t, d.n, configlog.Options{})
	if until(t, fresh, "trouble", trouble); fresh.Snapshot() != nil {
		t.Error("a configuration of unknown age is served")
	}
	if s := until(t, f, "trouble", trouble); !strings.Contains(s.Trouble, "altered at 3") || !s.HeardAt.IsZero() || s.BlockedAt != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestAGoodRepairGoesOn(t *testing.T) {
	t.Parallel()
	d := damage(t)
	for name, page := range map[string]int{"commit by commit": 1, "all there is": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := follow(t, d.n, configlog.Options{
				Retry: time.Hour, // a repair that helps needs no pause
				Repair: func(_ context.Context, at eventlog.State) ([]eventlog.Commit, error) {
					behind := d.commits[at.Seq:]
					return behind[:min(page, len(behind))], nil
				},
			})
			s := reaches(t, f, d.end)
			for _, site := range d.site {
				if s.Config.Site(site) == nil {
					t.Errorf("site %s is missing", site)
				}
			}
			until(t, f, "heard", heard)
		})
	}
}

func TestAForgedRepairIsRefused(t *testing.T) {
	t.Parallel()
	d := damage(t)
	forged := encode(t, 7, registered("forged"))
	onOther := eventlog.State{Seq: 2, Hash: eventlog.Hash{1}}
	for name, commits := range map[string][]eventlog.Commit{
		"other history":  {{State: onOther.Next(forged), Prev: onOther.Hash, Data: forged}},
		"other bytes":    {{State: d.commits[2].State, Prev: d.commits[2].Prev, Data: forged}},
		"a later one":    d.commits[3:],
		"the first ones": d.commits[:2],
		"fits, then not": {d.commits[2], {State: d.commits[3].State, Prev: d.commits[3].Prev, Data: forged}},
		"nothing":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			f := follow(t, d.n, configlog.Options{Start: &configlog.Snapshot{}, Repair: func(context.Context, eventlog.State) ([]eventlog.Commit, error) {
				asked.Add(1)
				return commits, nil
			}})
			until(t, f, "asked twice", func(eventlog.Status) bool { return asked.Load() > 1 })
			reaches(t, f, d.lastGood)
			if s := f.Status(); !strings.Contains(s.Trouble, "altered at 3") || f.Snapshot().Config.Site("forged") != nil {
				t.Fatalf("%+v", s)
			}
		})
	}
}

// TestAMadeUpRepairIsFoundOutByTheNextCommit shows what the chain cannot do: see Options.Repair.
func TestAMadeUpRepairIsFoundOutByTheNextCommit(t *testing.T) {
	t.Parallel()
	d := damage(t)
	forged := encode(t, 7, registered("forged"))
	f := follow(t, d.n, configlog.Options{Start: &configlog.Snapshot{}, Repair: func(_ context.Context, at eventlog.State) ([]eventlog.Commit, error) {
		return []eventlog.Commit{{State: at.Next(forged), Prev: at.Hash, Data: forged}}, nil
	}})
	until(t, f, "a fork", func(s eventlog.Status) bool {
		return strings.Contains(s.Trouble, "forked at 4") || strings.Contains(s.Trouble, "twice")
	})
	if s := f.Snapshot(); s.State.Seq != 3 {
		t.Fatalf("at %d", s.State.Seq)
	}
}

func TestARepairThatCannotBeAppliedToItsEndStillHelps(t *testing.T) {
	t.Parallel()
	d := damage(t)
	unknown := newer(t)
	after := d.commits[2].State
	f := follow(t, d.n, configlog.Options{Repair: func(_ context.Context, at eventlog.State) ([]eventlog.Commit, error) {
		if at != d.lastGood {
			return nil, errors.New("no more")
		}
		return []eventlog.Commit{d.commits[2], {State: after.Next(unknown), Prev: after.Hash, Data: unknown}}, nil
	}})
	reaches(t, f, d.end) // what the stream itself holds next is good, and is taken
}

// TestReadersNeverSeeHalfACommit reads what several commits have changed, as fast as it can, while they flow.
func TestReadersNeverSeeHalfACommit(t *testing.T) {
	t.Parallel()
	const commits, readers = 60, 3
	n := testkit.StartNATS(t)
	w, f := write(t, n), follow(t, n, configlog.Options{})
	w.commit(registered("a"))
	reaches(t, f, w.at)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			var last uint64
			for ctx.Err() == nil {
				s := f.Snapshot()
				site := s.Config.Site("a")
				done := s.Config.Audit.Retention.MaxEntries
				if s.State.Seq < last || uint64(len(site.Nodes)) != done || uint64(len(site.Upstream.Accounts)) != done ||
					uint64(len(s.AdminTokens)) != done || (done > 0 && site.Providers[0].Name != strconv.FormatUint(done, 10)) {
					t.Errorf("at %d after %d: %d commits, %+v", s.State.Seq, last, done, site)
					return
				}
				last = s.State.Seq
			}
		})
	}
	for i := range commits {
		name := strconv.Itoa(i + 1)
		w.commit(
			&configv1.NodeAttached{Site: "a", Node: name}, &configv1.UpstreamAccountSet{Site: "a", Account: name},
			&configv1.ProviderTrusted{Site: "a", Provider: &configv1.Provider{Id: "corp", Name: name}},
			&configv1.AdminTokenIssued{Name: name}, &configv1.RetentionSet{MaxEntries: uint64(i) + 1},
		)
	}
	reaches(t, f, w.at)
	stop()
	all.Wait()
}
