package audit

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/retry"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
)

// fillDatabase stores calls as the service does, in partitions of a million with runs of 256, but by SQL: one a
// millisecond, of 5,000 users.
func fillDatabase(b *testing.B, url string, count int64) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	p := partitions{log: testkit.Logger(b), size: 1_000_000, end: 1}
	if err := p.reach(b.Context(), conn, count); err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO audit.call (id, time, epoch, n, opened, config_version, bytes_in, bytes_out, duration_ns, upstream_duration_ns, status, client_ip,
				gateway, request_id, site, node, credential, provider, client_id, credential_fingerprint, username, decision, reason, detail, observed, outcome,
				method, path, query, user_agent, trace_id, access, client_ip_source)
			SELECT id, timestamptz '2026-01-01 00:00:00Z' + id * interval '1 millisecond', 1, id, 0, 7, 0, 1234, 2000000, 1500000, 200, '192.0.2.7',
				'gw1', md5(id::text), 'jira', 'n1', 'oauth', 'corp', 'client' || id % 50, 'f00dfeedf00dfeed', 'user' || (id * 2654435761) % 5000, 'allow', 'allowed', '', '',
				'completed', 'GET', '/rest/api/2/issue/ABC-' || id % 100000, '', 'python-requests/2.32', '', 'READ', 'peer'
			FROM generate_series(1, {count}) AS id`,
		`INSERT INTO audit.run (gateway, epoch, first_n, last_n, first_id)
			SELECT 'gw1', 1, id, least(id + 255, {count}), id FROM generate_series(1, {count}, 256) AS id`,
		`UPDATE audit.part SET rows = greatest(least(hi - 1, {count}) - lo + 1, 0), min_time = timestamptz '2026-01-01 00:00:00Z' + lo * interval '1 millisecond',
			max_time = timestamptz '2026-01-01 00:00:00Z' + least(hi - 1, {count}) * interval '1 millisecond' WHERE lo <= {count}`,
		`UPDATE audit.head SET last_id = {count}`,
		`INSERT INTO audit.source (gateway, epoch, last_n) VALUES ('gw1', 1, {count})`,
	} {
		if _, err := conn.Exec(b.Context(), strings.ReplaceAll(sql, "{count}", strconv.FormatInt(count, 10))); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := conn.Exec(b.Context(), `VACUUM ANALYZE audit.call`); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRetention removes a million records of 2.2 million while a gateway goes on publishing: how long that takes, and
// the longest time between two commits of the consumer beside the one without retention.
func BenchmarkRetention(b *testing.B) {
	w := &world{nats: testkit.StartNATS(b), url: benchDatabase(b)}
	w.gateway = w.nats.JetStream(b, topology.Gateway)
	fillDatabase(b, w.url, 2_200_000)
	in := w.start(b, func(s *Settings) { s.Intervals = Intervals{Retention: time.Hour} })
	in.awaitReady(b)
	sealed := `SELECT count(*) FROM audit.part WHERE NOT sealed AND hi <= (SELECT last_id + 1 FROM audit.head)`
	for row[int](b, w.url, sealed) > 0 { // else the indexes would be made meanwhile
		retry.Sleep(b.Context(), 100*time.Millisecond)
	}
	c := w.writer(b)
	c.commit("a million less", &configv1.RetentionSet{MaxEntries: 1_200_000, Every: durationpb.New(time.Hour)})
	w.awaitCopied(b, c.at)
	gaps := w.watchCommits(b)
	quiet := gaps.during(func() { retry.Sleep(b.Context(), 2*time.Second) })
	var took time.Duration
	var out outcome
	busy := gaps.during(func() {
		began := time.Now()
		out = told[outcome](b, in, http.StatusOK, http.MethodPost, "retention/run", "")
		took = time.Since(began)
	})
	gaps.stop()
	if out.Records < 990_000 {
		b.Errorf("%+v", out)
	}
	b.ReportMetric(float64(out.Records), "records")
	b.ReportMetric(took.Seconds(), "s/run")
	b.ReportMetric(float64(busy.Milliseconds()), "longest-pause-ms")
	b.ReportMetric(float64(quiet.Milliseconds()), "longest-pause-without-ms")
	b.ReportMetric(0, "ns/op")
}

// commitGaps watches the times between the commits of records of a busy gateway.
type commitGaps struct {
	last, longest atomic.Int64 // nanoseconds
	stop          func()
}

func (w *world) watchCommits(b *testing.B) *commitGaps {
	b.Helper()
	g := &commitGaps{}
	nc := w.nats.Connect(b, topology.Gateway)
	sub, err := nc.SubscribeSync(topology.AuditCommitted + ".gw2")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for n := uint64(1); ctx.Err() == nil; n += 20 {
			w.publish(b, batch("gw2", 1, n, n+19))
			retry.Sleep(ctx, 10*time.Millisecond) // 2,000 a second
		}
	})
	work.Go(func() {
		for {
			if _, err := sub.NextMsgWithContext(ctx); err != nil {
				return
			}
			now := time.Now().UnixNano()
			if before := g.last.Swap(now); before > 0 && now-before > g.longest.Load() {
				g.longest.Store(now - before)
			}
		}
	})
	g.stop = func() { cancel(); work.Wait() }
	b.Cleanup(g.stop)
	return g
}

// during gives the longest gap while do ran.
func (g *commitGaps) during(do func()) time.Duration {
	g.longest.Store(0)
	do()
	return time.Duration(max(g.longest.Load(), time.Now().UnixNano()-g.last.Load()))
}

// BenchmarkSearch looks for the calls of one user in one hour among ten million, page after page.
func BenchmarkSearch(b *testing.B) {
	w := &world{nats: testkit.StartNATS(b), url: benchDatabase(b)}
	w.gateway = w.nats.JetStream(b, topology.Gateway)
	fillDatabase(b, w.url, 10_000_000)
	in := w.start(b, func(s *Settings) { s.Intervals = Intervals{} })
	in.awaitReady(b)
	for row[int](b, w.url, `SELECT count(*) FROM audit.part WHERE NOT sealed AND hi <= (SELECT last_id + 1 FROM audit.head)`) > 0 {
		retry.Sleep(b.Context(), 100*time.Millisecond)
	}
	for name, query := range map[string]string{
		"deep page":         "limit=100&user=user4242&cursor=" + in.deep(b, "limit=100&user=user4242", 15),
		"user and hour":     "limit=1000&user=user4242&from=2026-01-01T01:00:00Z&to=2026-01-01T02:00:00Z",
		"user, newest":      "limit=100&user=user4242",
		"request":           "request_id=" + fmt.Sprintf("%x", md5.Sum([]byte("1234567"))),
		"nothing found":     "user=nobody",
		"hour and no index": "limit=100&path=/rest/api/2/issue/ABC-77&from=2026-01-01T01:00:00Z&to=2026-01-01T02:00:00Z",
	} {
		b.Run(name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				found = len(in.search(b, query).Events)
			}
			if found == 0 && name != "nothing found" {
				b.Error("nothing found")
			}
			b.ReportMetric(float64(found), "found")
		})
	}
	b.Run("export", func(b *testing.B) {
		began, records := time.Now(), 0
		heap := peakHeap(b, func() {
			for b.Loop() {
				records += in.drain(b, "format=ndjson&to=2026-01-01T00:16:40Z") // a million
			}
		})
		b.ReportMetric(float64(records)/time.Since(began).Seconds(), "records/s")
		b.ReportMetric(heap/(1<<20), "MiB-more-heap")
	})
	b.Run("verify", func(b *testing.B) {
		began, records := time.Now(), int64(0)
		for b.Loop() {
			records += told[reading.Verified](b, in, http.StatusOK, http.MethodGet, "verify?gateway=gw1", "").Records
		}
		b.ReportMetric(float64(records)/time.Since(began).Seconds(), "records/s")
	})
}

// deep gives the cursor of a page that many pages on.
func (in *instance) deep(b *testing.B, query string, pages int) (cursor string) {
	b.Helper()
	for range pages {
		if cursor = in.search(b, query+"&cursor="+cursor).Next; cursor == "" {
			b.Fatal("there are not as many pages")
		}
	}
	return cursor
}

// drain takes an export as it comes and keeps nothing of it.
func (in *instance) drain(b *testing.B, query string) (lines int) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, in.base+"/api/v1/audit/export?"+query, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(piece)
		lines += bytes.Count(piece[:n], []byte("\n"))
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// peakHeap is by how many bytes the heap of this process has grown at most while do ran.
func peakHeap(b *testing.B, do func()) float64 {
	b.Helper()
	read := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before, peak := read(), uint64(0)
	ctx, cancel := context.WithCancel(b.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			peak = max(peak, read())
			retry.Sleep(ctx, 20*time.Millisecond)
		}
	})
	do()
	cancel()
	watching.Wait()
	return float64(max(peak, before) - before)
}
