package audit

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
)

// benchDatabase is a migrated database on a server that waits for its disk, as in production.
func benchDatabase(b *testing.B) string {
	b.Helper()
	server, err := postgres.StartPrivate(b.Context(), testkit.Logger(b), postgres.PrivateSettings{Dir: filepath.Join(testkit.OpenDir(b), "postgres")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop(context.WithoutCancel(b.Context())) })
	if err := Migrate(b.Context(), server.URL()); err != nil {
		b.Fatal(err)
	}
	return server.URL()
}

// benchBatches are what a busy gateway publishes: 256 calls of many users each, with all that a gateway records, chained.
func benchBatches(count int) []*auditv1.Batch {
	all, at := make([]*auditv1.Batch, count), audittrail.Genesis(audittrail.Hash{}, "gw1", 1)
	for k := range all {
		all[k], at = chained(at, benchBatch(k))
	}
	return all
}

func benchBatch(k int) *auditv1.Batch {
	first := uint64(k)*256 + 1
	return batch("gw1", 1, first, first+255, func(n uint64, r *auditv1.Record) {
		r.User = fmt.Sprintf("user%d", n*2654435761%5000)
		r.RequestId = fmt.Sprintf("%016x%016x", n*0x9E3779B97F4A7C15, n*0xC2B2AE3D27D4EB4F)
		r.Path = fmt.Sprintf("/rest/api/2/issue/ABC-%d", n%100000)
		r.Access, r.ClientIpSource, r.CredentialFingerprint, r.UserAgent = "READ", "peer", "f00dfeedf00dfeed", "python-requests/2.32"
		audittrail.Clean(r)
	})
}

// BenchmarkIngest measures records from the stream to committed rows, with everything on the way: read, decoded,
// checked, copied, cursor moved, gateways told, stream purged.
func BenchmarkIngest(b *testing.B) {
	w := &world{nats: testkit.StartNATS(b), url: benchDatabase(b)}
	w.gateway = w.nats.JetStream(b, topology.Gateway)
	batches := max(b.N/256, 1)
	sent := benchBatches(batches)
	for _, next := range sent {
		body, err := proto.Marshal(next)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.gateway.Publish(b.Context(), topology.AuditIn("gw1"), body); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	before := cpu(b)
	began := time.Now()
	in := w.start(b, func(s *Settings) { s.Intervals = Intervals{} })
	in.awaitReady(b)
	rows := float64(batches * 256)
	await(b, "all committed", func() bool { return in.metric(b, "gatehouse_audit_rows_total") == rows })
	speed := rows / time.Since(began).Seconds()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/rows, "cpu-us/row")
	b.StopTimer()
	if n := in.metric(b, "gatehouse_audit_broken_batches_total"); n > 0 {
		b.Errorf("%v batches are broken", n)
	}
	w.exact(b)
	in.stop()
	bare := bareCopy(b, sent)
	b.ReportMetric(speed, "rows/s")
	b.ReportMetric(bare, "bare-copy-rows/s")
	b.ReportMetric(speed/bare, "ratio-to-bare-copy")
}

// cpu is what this process has used: the service and the NATS server, without Postgres.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// bareCopy is what the database alone can take, in rows a second: the same rows into the same table, 5,000 a transaction.
func bareCopy(b *testing.B, sent []*auditv1.Batch) float64 {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), benchDatabase(b))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(b.Context()))
	p := partitions{log: testkit.Logger(b), size: 1_000_000, end: 1}
	if err := p.reach(b.Context(), conn, int64(len(sent))*256); err != nil {
		b.Fatal(err)
	}
	all := make([]run, len(sent))
	for k, next := range sent {
		all[k] = run{sourceKey: sourceKey{"gw1", 1}, n: next.GetFirst(), records: next.GetRecords()}
	}
	began, id := time.Now(), int64(1)
	for len(all) > 0 {
		n := min(20, len(all))
		r := &rows{first: id, runs: all[:n], count: int64(n) * 256}
		if _, err := conn.CopyFrom(b.Context(), pgx.Identifier{schema, "call"}, columns(), r); err != nil {
			b.Fatal(err)
		}
		id, all = id+r.count, all[n:]
	}
	return float64(id-1) / time.Since(began).Seconds()
}
