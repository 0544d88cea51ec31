package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/services/audit/logcopy"
)

// writer appends to the configuration log, as config does.
type writer struct {
	t   testing.TB
	log *eventlog.Log
	at  eventlog.State
}

func (w *world) writer(t testing.TB) *writer {
	t.Helper()
	return &writer{t: t, log: eventlog.New(w.nats.JetStream(t, topology.Config), topology.ConfigLog(), eventlog.Options{})}
}

// raw appends any bytes; NATS may be away for a while.
func (w *writer) raw(data []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	next, err := w.log.Append(ctx, w.at, data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.at = next
}

// commit appends facts.
func (w *writer) commit(why string, facts ...proto.Message) {
	w.t.Helper()
	data, err := factlog.Encode(&configv1.Commit{
		Who: &configv1.Actor{Name: "alice", Role: "admin", Address: "192.0.2.7"}, Why: why, RequestId: fmt.Sprintf("req-%d", w.at.Seq+1),
		At: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)),
	}, facts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.raw(data)
}

// some appends n commits.
func (w *writer) some(n int, why string) {
	w.t.Helper()
	for range n {
		w.commit(why, &configv1.SiteRegistered{Site: fmt.Sprintf("s%d", w.at.Seq+1), Product: "jira"})
	}
}

// commits counts the records of commits in the trail.
func (w *world) commits(t testing.TB) int {
	t.Helper()
	return row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'config.committed'`)
}

func (w *world) awaitCommits(t testing.TB, want int) {
	t.Helper()
	await(t, fmt.Sprintf("%d commits in the trail", want), func() bool { return w.commits(t) == want })
}

// awaitCopied waits until the copy that holds ends with a State and is whole, and makes sure that it is chained.
func (w *world) awaitCopied(t testing.TB, at eventlog.State) {
	t.Helper()
	await(t, fmt.Sprintf("commit %d is copied", at.Seq), func() bool {
		return row[bool](t, w.url, `SELECT count(*) = $1 AND coalesce(max(msg_id) FILTER (WHERE seq = $1), '') = $2 FROM audit.config_restore`,
			int64(at.Seq), at.Hash.String())
	})
	const broken = `SELECT count(*) FROM (SELECT hash = sha256(prev_hash || data) AND prev_hash =
		coalesce(lag(hash) OVER (PARTITION BY epoch ORDER BY seq), decode(repeat('00', 32), 'hex')) AS fits FROM audit.config_commit) AS c WHERE NOT fits`
	if n := row[int](t, w.url, broken); n > 0 {
		t.Errorf("%d commits do not fit behind the one before", n)
	}
}

// wantChained makes sure that the records of the log have one chain in each epoch, from its genesis on, and that nothing
// is missing, doubled or contradicted.
func (w *world) wantChained(t testing.TB) {
	t.Helper()
	const broken = `SELECT count(*) FROM (SELECT r.prev_hash = coalesce(lag(r.hash) OVER (PARTITION BY epoch ORDER BY first_n), l.genesis)
			AND r.first_n = coalesce(lag(r.last_n) OVER (PARTITION BY epoch ORDER BY first_n), 0) + 1 AS fits
		FROM audit.run r JOIN audit.config_log l USING (epoch) WHERE gateway = 'config-log') AS c WHERE fits IS NOT true`
	if n := row[int](t, w.url, broken); n > 0 {
		t.Errorf("%d runs do not fit behind the one before", n)
	}
	if n := row[int](t, w.url, `SELECT (SELECT count(*) FROM audit.conflict) + (SELECT count(*) FROM audit.hole) + (SELECT count(*) FROM audit.rejected)`); n > 0 {
		t.Errorf("%d conflicts, holes and rejected messages", n)
	}
	w.exact(t)
}

func TestEveryCommitIsInTheTrailAndCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	c := w.writer(t)
	c.commit("we buy Jira", &configv1.SiteRegistered{Site: "jira", Product: "jira"}, &configv1.ModeSet{Site: "jira", Mode: "enforce"})
	c.some(300, "more")
	w.awaitCommits(t, 301)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	first := in.search(t, "order=asc&limit=1").Events[0]
	var changes []struct {
		Type string
		Data map[string]string
	}
	if err := json.Unmarshal(first.Change, &changes); err != nil || len(changes) != 2 || changes[0].Type != "SiteRegistered" ||
		changes[0].Data["product"] != "jira" || changes[1].Data["mode"] != "enforce" {
		t.Errorf("change %s: %v", first.Change, err)
	}
	if first.User != "alice" || first.Detail != "we buy Jira" || first.RequestID != "req-1" || first.ConfigVersion != 1 ||
		first.Kind != audittrail.ConfigCommitted || first.Decision != "allow" || first.Outcome != "completed" || first.Gateway != audittrail.FromLog ||
		!first.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)) {
		t.Errorf("got %+v", first)
	}
	await(t, "nothing waits", func() bool { return row[int](t, w.url, `SELECT count(record) FROM audit.config_commit`) == 0 })
	_, d := in.health(t)
	if d.ConfigCopy.Sequence != 301 || d.ConfigCopy.Trouble != "" || in.metric(t, "gatehouse_audit_config_copy_lag") != 0 {
		t.Errorf("got %+v", d.ConfigCopy)
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.events`); n != 0 {
		t.Errorf("%d commits are calls", n)
	}
}

// TestCommitThatCannotBeShown: what this version cannot read is copied as it is, and in the trail.
func TestCommitThatCannotBeShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	c := w.writer(t)
	c.raw([]byte("\xff\x00rubbish"))
	c.commit("a newer fact", &auditv1.Committed{}) // of no kind that is known
	many := make([]proto.Message, 8000)
	for i := range many {
		many[i] = &configv1.SiteRegistered{Site: fmt.Sprintf("site-number-%d", i), Product: "confluence"}
	}
	c.commit("too long", many...)
	w.awaitCommits(t, 3)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	for seq, want := range map[int]string{
		1: `[]`, 2: `[{"type":"Committed"}]`, 3: `[{"type":"SiteRegistered","count":8000}]`,
	} {
		if got := row[string](t, w.url, `SELECT change::text FROM audit.actions WHERE config_version = $1`, seq); got != want {
			t.Errorf("%d: %.200s", seq, got)
		}
	}
	if at := row[*time.Time](t, w.url, `SELECT at FROM audit.config_commit WHERE seq = 1`); at != nil {
		t.Errorf("it was made at %s", at)
	}
}

// TestLongAway: what was committed while no audit service ran is there once.
func TestLongAway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	c := w.writer(t)
	c.some(10, "before there was one")
	in := w.start(t)
	w.awaitCommits(t, 10)
	in.stop()
	c.some(700, "while it was away")
	one, two := w.start(t), w.start(t)
	w.awaitCommits(t, 710)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	for _, in := range []*instance{one, two} {
		await(t, "well", func() bool { _, d := in.health(t); return d.ConfigCopy.Trouble == "" })
	}
}

// removeLog takes the stream CONFIG from NATS, as a lost disk does, and makes it anew.
func (w *world) removeLog(t testing.TB) {
	t.Helper()
	w.nats.Stop()
	if err := os.RemoveAll(filepath.Join(w.nats.Store(), topology.StreamConfig)); err != nil {
		t.Fatal(err)
	}
	w.nats.Start(t)
	w.ensureStreams(t)
}

// TestLogMadeAnew: a log that is begun anew is another history, and does not touch the copy of the one before; one that
// is put back is the one it was.
func TestLogMadeAnew(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t)
	c := w.writer(t)
	c.some(5, "first life")
	old := c.at
	w.awaitCommits(t, 5)
	w.removeLog(t)
	await(t, "the copy has more", func() bool { _, d := in.health(t); return strings.Contains(d.ConfigCopy.Trouble, "rewound") })
	c.at = eventlog.State{}
	c.some(3, "second life")
	w.awaitCommits(t, 8)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.config_commit WHERE epoch = (SELECT min(epoch) FROM audit.config_log)`); n != 5 {
		t.Errorf("%d of 5 commits of the first life are there", n)
	}
	w.removeLog(t)
	c.at = eventlog.State{}
	c.some(4, "first life") // a part of it, and
	await(t, "the copy has more", func() bool {
		_, d := in.health(t)
		return strings.Contains(d.ConfigCopy.Trouble, "the copy has more of the configuration log")
	})
	c.some(1, "first life") // all of it: the same history
	if c.at != old {
		t.Fatal("not the same")
	}
	w.awaitCopied(t, old)
	c.some(1, "more of the first life")
	w.awaitCopied(t, c.at)
	w.awaitCommits(t, 9)
	w.wantChained(t)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.config_log`); n != 2 {
		t.Errorf("%d histories, want 2", n)
	}
}

// TestLogThatForked: commits that two histories share are in the trail once, and in the copy of each.
func TestLogThatForked(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t)
	c := w.writer(t)
	c.some(6, "shared")
	shared := c.at
	c.some(4, "first branch")
	w.awaitCommits(t, 10)
	in.stop()
	w.removeLog(t)
	c.at = eventlog.State{}
	c.some(6, "shared")
	if c.at != shared {
		t.Fatal("not the same")
	}
	c.some(5, "second branch")
	w.start(t)
	w.awaitCopied(t, c.at)
	w.awaitCommits(t, 15)
	w.wantChained(t)
	got := row[[]int64](t, w.url, `SELECT array_agg(config_version ORDER BY id) FROM audit.actions`)
	if want := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 7, 8, 9, 10, 11}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// TestConfigLogAway, also the bucket of secrets: calls go on, and it is said.
func TestConfigLogAway(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]string{topology.StreamConfig: "CONFIG", "KV_" + topology.BucketSecrets: "sealed secrets"} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			in := w.start(t)
			c := w.writer(t)
			c.some(3, "before")
			w.awaitCommits(t, 3)
			if err := w.nats.JetStream(t, topology.Operator).DeleteStream(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
			await(t, "it is said", func() bool { _, d := in.health(t); return strings.Contains(d.ConfigCopy.Trouble, want) })
			if in.metric(t, "gatehouse_audit_config_copy_ok") != 0 {
				t.Error("the metric says all is well")
			}
			w.publish(t, batch("gw1", 1, 1, 5))
			w.awaitCount(t, 8)
			if ready, d := in.health(t); !ready || d.Role != roleActive {
				t.Errorf("ready %t, %+v", ready, d)
			}
			w.ensureStreams(t)
			if stream == topology.StreamConfig {
				c.at = eventlog.State{}
				c.some(3, "before") // config puts back what it has
			}
			c.some(1, "after")
			w.awaitCommits(t, 4)
			await(t, "all is well", func() bool { _, d := in.health(t); return d.ConfigCopy.Trouble == "" })
			w.wantChained(t)
		})
	}
}

// TestConfigLogDamaged: commits that the stream no longer has are asked of config.
func TestConfigLogDamaged(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t)
	c := w.writer(t)
	c.some(3, "before")
	w.awaitCommits(t, 3)
	in.stop()
	admin := w.startConfig(t)
	c.some(17, "while it was away")
	await(t, "config has all", func() bool { return admin.version(t) == 20 })
	w.nats.Stop()
	block := filepath.Join(w.nats.Store(), topology.StreamConfig, "msgs", "1.blk")
	data, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("req-11"))] ^= 1
	if err := os.WriteFile(block, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.nats.Start(t)
	in = w.start(t)
	w.awaitCommits(t, 20)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	await(t, "all is well", func() bool { _, d := in.health(t); return d.ConfigCopy.Trouble == "" })
}

// TestCopyBehind: the lag is known while the database is away, and made up for.
func TestCopyBehind(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	way := newProxy(t, w.url)
	in := w.start(t, func(s *Settings) { s.DatabaseURL = way.url })
	c := w.writer(t)
	c.some(3, "before")
	w.awaitCommits(t, 3)
	way.cut()
	c.some(4, "meanwhile")
	await(t, "the lag is known", func() bool { return in.metric(t, "gatehouse_audit_config_copy_lag") == 4 })
	way.back()
	w.awaitCommits(t, 7)
	w.awaitCopied(t, c.at)
	await(t, "no lag", func() bool { return in.metric(t, "gatehouse_audit_config_copy_lag") == 0 })
	w.wantChained(t)
}

// TestAuditStreamLost: records of commits that were in the stream and nowhere else are sent again.
func TestAuditStreamLost(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	c := w.writer(t)
	c.some(3, "sent")
	pool, err := pgxpool.New(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	js, every := w.nats.JetStream(t, topology.Audit), Settings{Intervals: short()}.withDefaults().Intervals
	alone := logcopy.New(logcopy.Options{ // nobody reads what it sends
		Log: testkit.Logger(t), JetStream: js, Pool: pool, Attempt: every.Attempt, Transaction: every.Transaction, Retry: every.Retry,
		Resend: 100 * time.Millisecond, Of: logcopy.Config(), Events: eventlog.New(js, topology.ConfigLog(), eventlog.Options{Check: every.Log}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { alone.Run(ctx); close(ended) }()
	sent := func() bool {
		s, err := js.Stream(t.Context(), topology.StreamAudit)
		return err == nil && s.CachedInfo().State.Msgs > 0
	}
	await(t, "sent", sent)
	w.recreateStream(t)
	await(t, "sent again", sent)
	cancel()
	<-ended
	w.start(t)
	w.awaitCommits(t, 3)
	w.wantChained(t)
}

// TestSecretsAreCopied: also those that were there before, and those of a bucket that was lost stay.
func TestSecretsAreCopied(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	bucket, err := w.nats.JetStream(t, topology.Config).KeyValue(t.Context(), topology.BucketSecrets)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, value string) {
		t.Helper()
		if _, err := bucket.Create(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	have := func() string {
		return row[string](t, w.url, `SELECT coalesce(string_agg(key || '=' || convert_from(data, 'UTF8'), ' ' ORDER BY key, created), '') FROM audit.sealed_secret`)
	}
	for i := range 600 {
		put(fmt.Sprintf("a%d.1", i), strings.Repeat("x", 20<<10))
	}
	in := w.start(t)
	await(t, "600 secrets", func() bool { return row[int](t, w.url, `SELECT count(*) FROM audit.sealed_secret`) == 600 })
	exec(t, w.url, `DELETE FROM audit.sealed_secret`)
	put("b.1", "one")
	await(t, "a new one", func() bool { return have() == "b.1=one" })
	if err := w.nats.JetStream(t, topology.Operator).DeleteStream(t.Context(), "KV_"+topology.BucketSecrets); err != nil {
		t.Fatal(err)
	}
	w.ensureStreams(t)
	if bucket, err = w.nats.JetStream(t, topology.Config).KeyValue(t.Context(), topology.BucketSecrets); err != nil {
		t.Fatal(err)
	}
	put("b.1", "two")
	await(t, "another of the same name", func() bool { return have() == "b.1=one b.1=two" })
	if got := row[string](t, w.url, `SELECT body FROM audit.secret_restore`); got != "dHdv" {
		t.Errorf("restores %s", got)
	}
	in.stop()
}
