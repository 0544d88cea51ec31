package audit

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestNATSAwayAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nats.Stop()
	in := w.start(t)
	await(t, "the stream is away", func() bool { _, d := in.health(t); return d.Stream != "" })
	if ready, d := in.health(t); ready || d.Database != "" {
		t.Errorf("ready %t, %+v", ready, d)
	}
	if status, _ := in.get(t, ""); status != http.StatusOK {
		t.Errorf("search: %d", status)
	}
	if status, _ := in.getAs(t, "another admin", ""); status != http.StatusServiceUnavailable {
		t.Errorf("search of an admin who cannot be known yet: %d", status)
	}
	w.nats.Start(t)
	w.publish(t, batch("gw1", 1, 1, 2))
	w.awaitCount(t, 2)
	in.awaitReady(t)
}

func TestNATSAwayLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 2))
	w.awaitCount(t, 2)
	w.nats.Stop()
	await(t, "the stream is away", func() bool { _, d := in.health(t); return d.Stream != "" })
	if ready, d := in.health(t); !ready || d.Role == roleActive {
		t.Errorf("ready %t, %+v: searches can be answered", ready, d)
	}
	w.nats.Start(t)
	w.publish(t, batch("gw1", 1, 3, 3))
	w.awaitCount(t, 3)
	w.exact(t)
	await(t, "active", func() bool { _, d := in.health(t); return d.Role == roleActive && d.Stream == "" })
}

func TestStreamMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nats.Stop()
	w.removeStream(t)
	w.nats.Start(t)
	in := w.start(t)
	await(t, "the stream is away", func() bool { _, d := in.health(t); return strings.Contains(d.Stream, "stream not found") })
	w.ensureStreams(t)
	w.publish(t, batch("gw1", 1, 1, 2))
	w.awaitCount(t, 2)
}

func TestPostgresAwayAtStart(t *testing.T) {
	t.Parallel()
	w := &world{nats: testkit.StartNATS(t), url: testkit.Postgres(t, nil)} // not even migrated
	w.gateway = w.nats.JetStream(t, topology.Gateway)
	way := newProxy(t, w.url)
	way.cut()
	in := w.start(t, func(s *Settings) { s.DatabaseURL = way.url })
	await(t, "the stream was looked at", func() bool { _, d := in.health(t); return d.Database != "" && d.Lag == 0 })
	w.publish(t, batch("gw1", 1, 1, 300))
	await(t, "the database is away, the lag is known", func() bool {
		ready, d := in.health(t)
		return !ready && d.Database != "" && d.Lag == 1
	})
	if status, body := in.get(t, ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "database") {
		t.Errorf("search: %d %s", status, body)
	}
	if in.metric(t, "gatehouse_audit_database_up") != 0 {
		t.Error("the metric says the database is there")
	}
	way.back()
	in.awaitReady(t)
	w.awaitCount(t, 300)
	w.exact(t)
}

func TestPostgresCutWhileRunning(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	way := newProxy(t, w.url)
	in := w.start(t, func(s *Settings) { s.DatabaseURL = way.url })
	w.publish(t, batch("gw1", 1, 1, 10))
	w.awaitCount(t, 10)
	way.cut()
	w.publish(t, batch("gw1", 1, 11, 20))
	await(t, "not ready", func() bool { ready, d := in.health(t); return !ready && d.Database != "" && d.Lag == 1 })
	way.back()
	w.awaitCount(t, 20)
	w.exact(t)
	in.awaitReady(t)
}

// A database that takes connections and does not answer is away too.
func TestPostgresHangs(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	way := newProxy(t, w.url)
	in := w.start(t, func(s *Settings) {
		s.DatabaseURL, s.Intervals.Transaction, s.SearchTimeout, s.Intervals.Search = way.url, 300*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	w.publish(t, batch("gw1", 1, 1, 10))
	w.awaitCount(t, 10)
	way.hang()
	w.publish(t, batch("gw1", 1, 11, 20))
	await(t, "not ready", func() bool { ready, d := in.health(t); return !ready && d.Database != "" })
	if status, _ := in.get(t, ""); status != http.StatusServiceUnavailable {
		t.Errorf("search: %d", status)
	}
	way.back()
	w.awaitCount(t, 20)
	w.exact(t)
	in.awaitReady(t)
}

func TestPostgresKilledWhileRunning(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	server, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir, Options: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	w := &world{nats: testkit.StartNATS(t), url: server.URL()}
	w.gateway = w.nats.JetStream(t, topology.Gateway)
	in := w.start(t)
	in.awaitReady(t)
	for k := range uint64(40) {
		w.publish(t, batch("gw1", 1, k*100+1, k*100+100))
		if k == 20 {
			pid, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(pid), "\n")
			n, err := strconv.Atoi(first)
			if err != nil || syscall.Kill(n, syscall.SIGKILL) != nil {
				t.Fatalf("kill %s: %v", first, err)
			}
		}
	}
	await(t, "all there", func() bool {
		conn, err := pgx.Connect(t.Context(), w.url)
		if err != nil {
			return false
		}
		defer conn.Close(t.Context())
		var n int
		return conn.QueryRow(t.Context(), `SELECT count(*) FROM audit.call`).Scan(&n) == nil && n == 4000
	})
	w.exact(t)
	in.awaitReady(t)
}

func TestPoisonIsKeptAndGoneAround(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	for name, b := range map[string]*auditv1.Batch{
		"no records":   {Gateway: "gw1", Epoch: 1, First: 1},
		"epoch 0":      {Gateway: "gw1", First: 1, Records: batch("gw1", 1, 1, 1).GetRecords()},
		"first number": {Gateway: "gw1", Epoch: 1, Records: batch("gw1", 1, 1, 1).GetRecords()},
		"of gateway":   batch("gw2", 1, 1, 1),
	} {
		body, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(name, err)
		}
		w.publishRaw(t, "gw1", body)
	}
	w.publishRaw(t, "gw1", []byte("no protobuf at all \x00\xff"))
	w.publish(t, batch("gw1", 1, 1, 2))
	w.awaitCount(t, 2)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.rejected WHERE subject = 'audit.in.gw1' AND reason <> ''`); n != 5 {
		t.Errorf("%d rejected", n)
	}
	if data := row[[]byte](t, w.url, `SELECT data FROM audit.rejected WHERE seq = 5`); string(data) != "no protobuf at all \x00\xff" {
		t.Errorf("kept %q", data)
	}
	if got := in.metric(t, "gatehouse_audit_rejected_total"); got != 5 {
		t.Errorf("metric %v", got)
	}
	await(t, "health tells", func() bool { _, d := in.health(t); return d.RejectedEver == 5 })
}

// What the database itself refuses is found among the others and rejected alone.
func TestRefusedByPostgres(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec(t, w.url, `ALTER TABLE audit.call ADD CHECK (username <> 'impossible')`)
	for n := range uint64(9) {
		w.publish(t, batch("gw1", 1, n+1, n+1, func(n uint64, r *auditv1.Record) {
			if n == 4 || n == 8 {
				r.User = "impossible"
			}
		}))
	}
	in := w.start(t)
	w.awaitCount(t, 7)
	w.exact(t)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.rejected WHERE seq IN (4, 8) AND reason LIKE 'the database refuses it%'`); n != 2 {
		t.Errorf("%d rejected", n)
	}
	await(t, "their numbers are missing", func() bool { _, d := in.health(t); return d.OpenHoles == 2 })
}

func TestHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	b := batch("gw1", 1, 1, 2)
	b.Records[0].Path, b.Records[0].UserAgent = "/a\x00b", strings.Repeat("ü", 400)
	b.Records[0].ClientIp, b.Records[0].Time, b.Records[0].BytesIn, b.Records[0].Status = "nowhere\x00", 1<<64-1, 1<<64-1, 1<<32-1
	b.Records[1].Path = "/marker"
	body, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	w.publishRaw(t, "gw1", []byte(strings.Replace(string(body), "/marker", "/\xff\xfe\x80ok.", 1)))
	w.awaitCount(t, 2)
	for _, c := range []struct {
		n          int
		expression string
		want       string
	}{
		{1, `path`, "/a␀b"},
		{2, `path`, "/���ok."},
		{1, `detail`, `client_ip="nowhere\x00"`},
		{1, `coalesce(host(client_ip), 'none')`, "none"},
		{1, `bytes_in`, "9223372036854775807"},
		{1, `status`, "2147483647"},
		{1, `extract(year FROM time)`, "2262"},
		{1, `octet_length(user_agent) <= 512 AND user_agent LIKE 'üü%ü…'`, "true"},
	} {
		if got := row[string](t, w.url, `SELECT (`+c.expression+`)::text FROM audit.call WHERE n = $1`, c.n); got != c.want {
			t.Errorf("%s: %q, want %q", c.expression, got, c.want)
		}
	}
}

// A message with a length that lies is rejected, not read beyond its end.
func TestLyingLengthIsPoison(t *testing.T) {
	t.Parallel()
	body := protowire.AppendTag(nil, 1, protowire.BytesType)
	if m := decode(1, time.Time{}, "audit.in.gw1", protowire.AppendVarint(body, 1<<40)); m.poison == "" {
		t.Error("taken")
	}
}

func TestSecondConsumerStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 5))
	w.awaitCount(t, 5)
	second := w.start(t)
	second.awaitReady(t)
	if _, d := second.health(t); d.Role != roleStandby {
		t.Fatalf("second is %s", d.Role)
	}
	if p := second.search(t, ""); len(p.Events) != 5 {
		t.Errorf("the standby finds %d events", len(p.Events))
	}
	w.publish(t, batch("gw1", 1, 6, 9))
	w.awaitCount(t, 9)
	first.stop()
	w.publish(t, batch("gw1", 1, 10, 12))
	w.awaitCount(t, 12)
	w.exact(t)
	if _, d := second.health(t); d.Role != roleActive {
		t.Errorf("second is %s", d.Role)
	}
}

// The lock of the active consumer fails when Postgres loses its connection and neither notices. Then the cursor
// keeps the two apart.
func TestMovedCursorFences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	begin := func() *ledger {
		l := &ledger{
			log: testkit.Logger(t), conn: conn, limit: 5 * time.Second, stream: "AUDIT", sources: map[sourceKey]source{},
			partitions: partitions{log: testkit.Logger(t), size: 100},
		}
		if err := l.load(t.Context(), look{created: time.Unix(9, 0), first: 1, last: 10}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	msg := func(seq, first, last uint64) []message {
		return []message{{seq: seq, subject: "audit.in.gw1", batch: batch("gw1", 1, first, last)}}
	}
	one, other := begin(), begin()
	if err := one.store(t.Context(), msg(1, 1, 3), func(plan) {}); err != nil {
		t.Fatal(err)
	}
	if err := other.store(t.Context(), msg(1, 1, 3), func(plan) {}); !errors.Is(err, errFenced) {
		t.Errorf("stored by both: %v", err)
	}
	if err := other.alive(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("alive: %v", err)
	}
	if err := one.store(t.Context(), msg(2, 4, 4), func(plan) {}); err != nil {
		t.Error(err)
	}
	if w.count(t) != 4 {
		t.Errorf("%d calls", w.count(t))
	}
}

func TestDuplicatesAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 5), batch("gw1", 1, 1, 5), batch("gw1", 1, 4, 8), batch("gw1", 2, 1, 2))
	w.awaitCount(t, 10)
	await(t, "metric", func() bool { return in.metric(t, "gatehouse_audit_duplicate_records_total") == 7 })
	w.exact(t)
}

// Records beyond a hole are kept at once; the gateway is asked for what is missing, and the mark waits for it.
func TestHoleIsAskedForAndFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	marks, err := w.gateway.Conn().SubscribeSync(topology.AuditCommitted + ".gw1")
	if err != nil {
		t.Fatal(err)
	}
	awaitMark := func(n, missingTo uint64) {
		t.Helper()
		await(t, "mark "+strconv.FormatUint(n, 10), func() bool {
			msg, err := marks.NextMsg(5 * time.Second)
			var mark auditv1.Committed
			return err == nil && proto.Unmarshal(msg.Data, &mark) == nil && mark.GetN() == n && mark.GetMissingTo() == missingTo
		})
	}
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 3), batch("gw1", 1, 7, 9))
	w.awaitCount(t, 6)
	awaitMark(3, 6)
	awaitMark(3, 6) // again and again
	if got := in.metric(t, "gatehouse_audit_holes_total"); got != 1 {
		t.Errorf("%v holes", got)
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.hole WHERE gateway = 'gw1' AND (first_n, last_n, lost) = (4, 6, false)`); n != 1 {
		t.Error("the hole is not in the database")
	}
	in.stop() // and another process goes on with it
	in = w.start(t)
	w.publish(t, batch("gw1", 1, 4, 9))
	w.awaitCount(t, 9)
	awaitMark(9, 0)
	w.exact(t)
	await(t, "no hole", func() bool { _, d := in.health(t); return d.OpenHoles == 0 && d.Role == roleActive })
}

// A gateway that no longer has what is missing says so, and nobody waits for it.
func TestLostHole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	late := batch("gw1", 1, 7, 9)
	late.Oldest = 7
	w.publish(t, late)
	w.awaitCount(t, 3)
	await(t, "lost", func() bool { _, d := in.health(t); return d.LostHoles == 1 && d.OpenHoles == 0 })
}

func TestStreamMadeAnew(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 3), batch("gw1", 1, 4, 6))
	w.awaitCount(t, 6)
	w.recreateStream(t)
	w.publish(t, batch("gw1", 1, 5, 8), batch("gw1", 1, 9, 9))
	w.awaitCount(t, 9)
	w.exact(t)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.cursor`); n != 2 {
		t.Errorf("%d incarnations", n)
	}
	await(t, "active", func() bool { _, d := in.health(t); return d.Role == roleActive })
}

// A stream restored from an older copy gives its sequences to other messages.
func TestStreamRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, seldomPurged)
	w.publishRaw(t, "gw1", []byte("no protobuf at all"))
	w.publish(t, batch("gw1", 1, 1, 3))
	w.awaitCount(t, 3)
	in.stop()
	exec(t, w.url, `UPDATE audit.cursor SET last_seq = 50`) // what was committed of the stream before it was restored
	w.publish(t, batch("gw1", 1, 2, 5))
	w.start(t)
	w.awaitCount(t, 5)
	w.exact(t)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.rejected`); n != 1 {
		t.Errorf("%d rejected, want the one message once", n)
	}
}

// A database restored from an older copy finds the stream purged beyond its cursor.
func TestMessagesGoneFromTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 3))
	w.awaitCount(t, 3)
	in.stop()
	w.publish(t, batch("gw1", 1, 4, 6))
	s, err := w.nats.JetStream(t, topology.Audit).Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.publish(t, batch("gw1", 1, 7, 8))
	in = w.start(t)
	w.awaitCount(t, 5)
	if got := in.metric(t, "gatehouse_audit_stream_skipped_total"); got != 1 {
		t.Errorf("%v skipped", got)
	}
	await(t, "the hole is seen", func() bool { _, d := in.health(t); return d.OpenHoles == 1 })
	w.publish(t, batch("gw1", 1, 4, 8)) // the gateway still has them
	w.awaitCount(t, 8)
	w.exact(t)
}

// What the stream holds when the process is told to end is committed before it does.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.Intervals.Poll = time.Minute })
	in.awaitReady(t)
	for k := range uint64(50) {
		w.publish(t, batch("gw1", 1, k*10+1, k*10+10))
	}
	in.stop()
	if w.count(t) != 500 {
		t.Errorf("%d calls", w.count(t))
	}
}
