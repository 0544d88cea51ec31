package config

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// stored reads the whole log from the stream.
func stored(t testing.TB, n *testkit.NATS) []eventlog.Commit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all []eventlog.Commit
	log := eventlog.New(n.JetStream(t, topology.Config), topology.ConfigLog(), eventlog.Options{})
	err := log.Follow(ctx, eventlog.State{}, eventlog.Follower{
		Apply:   func(c eventlog.Commit) error { c.StoredAt = time.Time{}; all = append(all, c); return nil },
		Settled: func(eventlog.State) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return all
}

// keep copies what a stopped server has stored, and gives what puts it back.
func keep(t testing.TB, n *testkit.NATS) (restore func()) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(copied, os.DirFS(n.Store())); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.RemoveAll(n.Store()), os.CopyFS(n.Store(), os.DirFS(copied))); err != nil {
			t.Fatal(err)
		}
	}
}

// changesAgain waits until changes are taken.
func (i *instance) changesAgain(doc string) answer {
	i.t.Helper()
	var out answer
	i.until("changes are taken", func() bool {
		r := i.put(doc)
		if r.status == http.StatusOK {
			out = r.changed()
		}
		return r.status == http.StatusOK
	})
	return out
}

func (i *instance) refusesChanges(words string) {
	i.t.Helper()
	i.until("changes are refused: "+words, func() bool {
		r := i.call(http.MethodPut, "config?dry_run=true", simple(77), "If-Match", "*")
		return r.status == http.StatusServiceUnavailable && strings.Contains(r.body, words)
	})
	i.get("config").want(http.StatusOK)
}

func TestNATSAwayAtStart(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	n.Stop()
	i := start(t, n, nil)
	i.until("it answers", func() bool { return i.get("config").status == http.StatusServiceUnavailable })
	if r := i.put(simple(1)).want(http.StatusServiceUnavailable); !strings.Contains(r.body, "not loaded") || r.header.Get("Retry-After") == "" {
		t.Error(r.body)
	}
	i.get("openapi.yaml").want(http.StatusOK)
	n.Start(t)
	i.ready().changesAgain(simple(1))
}

func TestNATSAwayLater(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	_, bearer := i.issue("a", "admin", "")
	out := i.put(simple(1)).changed()
	n.Stop()
	i.refusesChanges("no change is taken")
	if r := i.get("config", "Authorization", bearer).want(http.StatusOK); r.header.Get("ETag") != out.ETag {
		t.Error(r.header)
	}
	i.get("config/events").want(http.StatusOK)
	i.get("gateways").want(http.StatusOK)
	n.Start(t)
	if again := i.changesAgain(simple(2)); again.Version != out.Version+1 {
		t.Errorf("version %d", again.Version)
	}
}

// TestNATSAwayAtTheEnd: a service ends in order though NATS is away.
func TestNATSAwayAtTheEnd(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	n.Stop()
	if err := i.end(); err != nil {
		t.Error(err)
	}
}

func TestHealsACutStream(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	for _, cut := range []int{0, 1, 3} { // how many commits the backup holds
		n := testkit.StartNATS(t)
		i := start(t, n, nil).ready()
		for k := range cut {
			i.put(simple(k + 1)).changed()
		}
		n.Stop()
		restore := keep(t, n)
		if cut == 0 {
			restore = func() { // not even the streams
				if err := os.RemoveAll(n.Store()); err != nil {
					t.Fatal(err)
				}
			}
		}
		n.Start(t)
		for k := cut; k < 6; k++ {
			i.changesAgain(simple(k + 1))
		}
		before, document := stored(t, n), i.get("config")
		n.Stop()
		restore()
		n.Start(t)
		i.until("healed", func() bool { return strings.Contains(i.log.String(), "the log is healed") })
		if diff := cmp.Diff(before, stored(t, n)); diff != "" {
			t.Errorf("cut at %d: the log is another one: %s", cut, diff)
		}
		if now := i.get("config"); now.header.Get("ETag") != document.header.Get("ETag") || now.body != document.body {
			t.Errorf("cut at %d: the document is another one", cut)
		}
		if out := i.changesAgain(simple(99)); out.Version != 7 {
			t.Errorf("cut at %d: version %d", cut, out.Version)
		}
		if !strings.Contains(i.log.String(), `"level":"ERROR","msg":"the log was cut`) {
			t.Error("it was not said loudly")
		}
	}
}

func TestForkedLog(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	for name, length := range map[string]int{"shorter": 2, "as long": 3, "longer": 4} {
		n := testkit.StartNATS(t)
		js := n.JetStream(t, topology.Config)
		log := eventlog.New(js, topology.ConfigLog(), eventlog.Options{})
		say := func(at eventlog.State, why string) eventlog.State {
			data, err := factlog.Encode(&configv1.Commit{Why: why}, nil)
			if err != nil {
				t.Fatal(err)
			}
			next, err := log.Append(t.Context(), at, data)
			if err != nil {
				t.Fatal(err)
			}
			return next
		}
		first := say(eventlog.State{}, "both")
		n.Stop()
		common := keep(t, n)
		n.Start(t)
		for at := first; at.Seq < uint64(length); {
			at = say(at, "theirs")
		}
		n.Stop()
		theirs := keep(t, n)
		common()
		n.Start(t)
		i := start(t, n, nil).ready()
		i.changesAgain(simple(1))
		ours := i.changesAgain(simple(2))
		if ours.Version != 3 {
			t.Fatalf("version %d", ours.Version)
		}
		n.Stop()
		theirs()
		n.Start(t)
		i.refusesChanges("forked")
		if now := i.get("config"); now.header.Get("ETag") != ours.ETag {
			t.Errorf("%s: GET went astray: %s", name, now.header.Get("ETag"))
		}
		if got := stored(t, n); len(got) != length {
			t.Errorf("%s: the stream was changed: %d commits", name, len(got))
		}
	}
}

func TestUnknownFact(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	out := i.put(simple(1)).changed()
	data, err := proto.Marshal(&configv1.Commit{Facts: []*anypb.Any{{TypeUrl: "type.googleapis.com/gatehouse.config.v1.MoonPhaseSet"}}})
	if err != nil {
		t.Fatal(err)
	}
	log := eventlog.New(n.JetStream(t, topology.Config), topology.ConfigLog(), eventlog.Options{})
	if _, err := log.Append(t.Context(), stateOf(t, out.ETag), data); err != nil {
		t.Fatal(err)
	}
	i.refusesChanges("MoonPhaseSet")
	if now := i.get("config"); now.header.Get("ETag") != out.ETag {
		t.Error(now.header)
	}
}

func TestKeysMissing(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	host := func() *service.Host { return service.NewProcess(testkit.Logger(t), nil).Host("config", "") }
	dir := t.TempDir()
	err := Run(t.Context(), host(), Settings{Settings: n.Settings(topology.Config), AdminToken: adminauth.Hash("x"), AdminListen: "127.0.0.1:0", DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "keys", "recovery.pub")) {
		t.Error(err)
	}
	keys := keysDir(t)
	if err := os.Remove(filepath.Join(keys, "fingerprint.key")); err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), host(), Settings{Settings: n.Settings(topology.Config), AdminToken: adminauth.Hash("x"), AdminListen: "127.0.0.1:0", KeysDir: keys})
	if err == nil || !strings.Contains(err.Error(), "fingerprint.key") {
		t.Error(err)
	}
	if err := Run(t.Context(), host(), Settings{}); err == nil {
		t.Error("no folder at all passes")
	}
	if err := Run(t.Context(), host(), Settings{KeysDir: keys, AuditURL: "audit:80"}); err == nil {
		t.Error("a strange audit URL passes")
	}
}

func TestSecretsBucketAway(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.Retry = time.Hour }).ready() // nobody makes it again
	kept := i.put(oneSite(value("p"), value("a"))).changed()
	doc := i.get("config").body
	n.Stop()
	if err := os.RemoveAll(filepath.Join(n.Store(), "KV_"+topology.BucketSecrets)); err != nil {
		t.Fatal(err)
	}
	n.Start(t)
	i.changesAgain(strings.Replace(doc, `"requests": 1000`, `"requests": 1001`, 1))
	if r := i.put(oneSite(value("new"), value("a"))).want(http.StatusServiceUnavailable); !strings.Contains(r.body, "nothing was changed") {
		t.Error(r.body)
	}
	if all := stored(t, n); len(all) != int(kept.Version)+1 {
		t.Errorf("%d commits", len(all))
	}
}

// TestClientGone: what was begun is finished, whoever waits for it.
func TestClientGone(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := newAPI(ctx, service.NewProcess(testkit.Logger(t), nil).Host("config", ""), mustComplete(t, Settings{KeysDir: keysDir(t), AdminToken: adminauth.Hash("x")}), js)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { a.follower.Run(ctx) })
	running.Go(func() { _ = a.gateways.Run(ctx, js) })
	defer func() { cancel(); running.Wait() }()
	if _, err := a.follower.AtLeast(ctx, 0); err != nil {
		t.Fatal(err)
	}
	client, hangUp := context.WithCancel(ctx)
	out, err := a.change(client, command{condition: condition{any: true}, propose: func(context.Context, *configlog.Snapshot) (*proposal, error) {
		hangUp()
		return &proposal{extra: []proto.Message{&configv1.RetentionSet{MaxDays: 1}}}, nil
	}})
	if err != nil || out.state.Seq != 1 || len(stored(t, n)) != 1 {
		t.Errorf("%+v %v", out, err)
	}
}

func mustComplete(t testing.TB, s Settings) Settings {
	t.Helper()
	s, err := s.complete(testkit.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDrain(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.WaitApplied = 30 * time.Second }).ready()
	beats(t, n, "behind", eventlog.State{}, 1)
	i.lists("behind live applied")
	waiting := make(chan reply, 1)
	go func() { waiting <- i.call(http.MethodPut, "config?wait=applied", simple(1), "If-Match", "*") }()
	i.until("it waits", func() bool { return i.get("config").header.Get("X-Gatehouse-Config-Version") == "1" })
	begun := time.Now()
	if err := i.end(); err != nil {
		t.Error(err)
	}
	if r := <-waiting; !cmp.Equal(r.changed().Pending, []string{"behind"}) || time.Since(begun) > 10*time.Second {
		t.Errorf("%s after %s", r.body, time.Since(begun))
	}
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	for k := range 4 {
		i.put(simple(k + 1)).changed()
	}
	asker := n.Connect(t, topology.Gateway)
	read := func(from, to uint64) []*configv1.StoredCommit {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var reply configv1.ReadLogReply
		if err := ask.Do(ctx, asker, topology.ConfigReadLog, &configv1.ReadLogRequest{From: from, To: to}, &reply); err != nil {
			t.Fatal(err)
		}
		return reply.GetCommits()
	}
	want := stored(t, n)
	for _, c := range []struct{ from, to, first, count uint64 }{{0, 0, 1, 4}, {1, 0, 1, 4}, {2, 3, 2, 2}, {4, 9, 4, 1}, {5, 0, 0, 0}, {3, 2, 0, 0}} {
		got := read(c.from, c.to)
		if uint64(len(got)) != c.count {
			t.Errorf("%d to %d: %d commits", c.from, c.to, len(got))
			continue
		}
		for k, g := range got {
			w := want[c.first-1+uint64(k)]
			if g.GetSequence() != w.Seq || string(g.GetData()) != string(w.Data) || string(g.GetPrevHash()) != string(w.Prev[:]) {
				t.Errorf("%d to %d: commit %d differs", c.from, c.to, w.Seq)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	at := want[1].State
	commits, err := configlog.RepairFrom(asker)(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	if end, err := eventlog.Verify(at, commits); err != nil || end != want[3].State {
		t.Error(end, err)
	}
}

// TestGatewaysStayListedForAsLongAsTheyMayAnswer: the bucket's entries live for the longest stale.max, also one that
// was taken back while a gateway may still go by it, and somewhat longer.
func TestGatewaysStayListedForAsLongAsTheyMayAnswer(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	bucket := func() jetstream.StreamConfig {
		s, err := n.JetStream(t, topology.Config).Stream(t.Context(), "KV_"+topology.BucketGateways)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config
	}
	lives := func(want time.Duration) func() bool { return func() bool { return bucket().MaxAge == want } }
	i.until("at first", lives(5*time.Minute+enlisted))
	hour := strings.Replace(simple(1), `"rate_limit"`, `"stale":{"max":"1h"},"rate_limit"`, 1)
	i.put(hour).changed()
	i.until("an hour", lives(time.Hour+enlisted))
	// It is taken back: a gateway that was cut off before goes by it for an hour yet. A new process knows.
	i.put(simple(1)).changed()
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	altered := bucket()
	altered.MaxAge = 2 * time.Hour
	if _, err := n.JetStream(t, topology.Config).UpdateStream(t.Context(), altered); err != nil {
		t.Fatal(err)
	}
	start(t, n, func(s *Settings) { s.KeysDir = i.keys }).ready().until("still an hour", lives(time.Hour+enlisted))
}

func TestEnsureMakesTheStreams(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	n.Stop()
	if err := os.RemoveAll(n.Store()); err != nil {
		t.Fatal(err)
	}
	n.Start(t)
	start(t, n, nil).ready().put(simple(1)).changed()
	for _, name := range []string{"CONFIG", "TOKENS", "AUDIT", "RATE", "KV_SECRETS", "KV_GATEWAYS"} {
		if _, err := n.JetStream(t, topology.Config).Stream(t.Context(), name); errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("no stream %s", name)
		}
	}
}
