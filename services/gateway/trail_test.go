package gateway_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-suite/gatehouse/services/audit"
	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// archive is a running audit service, and its database.
type archive struct {
	t    testing.TB
	url  string
	stop func()
}

// archive runs the audit service. Its database stays when it is stopped, and start runs another one on it.
func (w *world) archive() *archive {
	w.t.Helper()
	a := &archive{t: w.t, url: testkit.Postgres(w.t, audit.Migrate)}
	a.start(w)
	return a
}

func (a *archive) start(w *world) {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	host := service.NewProcess(testkit.Logger(w.t), nil).Host("audit", "")
	a.stop = w.run("audit", func(ctx context.Context) error {
		return audit.Run(ctx, host, audit.Settings{
			DatabaseURL: a.url, AdminToken: "admin", Settings: w.nats.Settings(topology.Audit), Listener: listener,
			Intervals: audit.Intervals{
				Poll: 2 * time.Millisecond, Gather: 5 * time.Millisecond, Check: 50 * time.Millisecond, Doubt: 50 * time.Millisecond,
				Marks: 100 * time.Millisecond, Standby: 50 * time.Millisecond, Retry: 100 * time.Millisecond,
			},
		})
	})
	w.t.Cleanup(a.stop)
}

// number asks the database for a number.
func (a *archive) number(sql string, args ...any) (n int) {
	a.t.Helper()
	conn, err := pgx.Connect(context.Background(), a.url)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		a.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (a *archive) await(what string, want int, sql string, args ...any) {
	a.t.Helper()
	testkit.Until(a.t, fmt.Sprintf("%s to be %d", what, want), func() bool { return a.number(sql, args...) == want })
}

// linked makes sure that each source's numbers and chain have no gap.
func (a *archive) linked() {
	a.t.Helper()
	if n := a.number(`SELECT count(*) FROM audit.hole`); n != 0 {
		a.t.Errorf("%d holes", n)
	}
	const loose = `SELECT count(*) FROM audit.run r WHERE first_n > 1 AND NOT EXISTS (SELECT FROM audit.run b
		WHERE b.gateway = r.gateway AND b.epoch = r.epoch AND b.last_n = r.first_n - 1 AND b.hash = r.prev_hash)`
	if n := a.number(loose); n != 0 {
		a.t.Errorf("%d loose ends in the chain", n)
	}
	if n := a.number(`SELECT count(*) FROM audit.conflict`); n != 0 {
		a.t.Errorf("%d conflicts", n)
	}
}

// loseStream makes the stream AUDIT anew, with nothing in it.
func (w *world) loseStream() {
	w.t.Helper()
	w.nats.Stop()
	if err := os.RemoveAll(filepath.Join(w.nats.Store(), topology.StreamAudit)); err != nil {
		w.t.Fatal(err)
	}
	w.nats.Start(w.t)
	js := w.nats.JetStream(w.t, topology.Config)
	testkit.Until(w.t, "the stream made anew", func() bool {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), time.Second)
		defer cancel()
		return topology.Ensure(ctx, js, topology.Limits{}) == nil
	})
}

const calls = `SELECT count(*) FROM audit.events WHERE path = $1`

// TestTheTrailOutlivesTheStream: what the stream has lost before it was committed comes again from the spool.
func TestTheTrailOutlivesTheStream(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	gw := w.gateway("")
	gw.reached(t, w.commit(w.site()...))
	for range 20 {
		expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	}
	testkit.Until(t, "all in the stream", func() bool { return strings.Contains(metrics(gw), `gatehouse_audit_backlog{service="gateway"} 0`) })
	w.loseStream()
	a := w.archive()
	a.await("calls", 20, calls, "/rest/api/2/serverInfo")
	testkit.Until(t, "all known to be committed", func() bool { return strings.Contains(metrics(gw), `gatehouse_audit_uncommitted{service="gateway"} 0`) })
	a.linked()
}

// TestARestartGoesOnWithTheSpool: what one process could not ship is shipped by the next, in an epoch before its own.
func TestARestartGoesOnWithTheSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.gateway("", func(s *gateway.Settings) { s.AuditGrace = 10 * time.Millisecond })
	gw.reached(t, w.commit(w.site()...))
	w.nats.Stop()
	for range 20 {
		expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	}
	gw.stop()
	w.nats.Start(t)
	w.gateway(gw.dir)
	a := w.archive()
	a.await("calls", 20, calls, "/rest/api/2/serverInfo")
	a.await("epochs", 2, `SELECT count(DISTINCT epoch) FROM audit.source WHERE gateway LIKE 'gw-%'`)
	a.await("starts", 2, `SELECT count(*) FROM audit.actions WHERE kind = 'gateway.started'`)
	a.linked()
	const linked = `SELECT count(*) FROM audit.call c WHERE kind = 'gateway.stopped'`
	if n := a.number(linked); n != 1 {
		t.Errorf("%d ends", n)
	}
}

// TestALongCallIsOpenMeanwhile: a call that takes long has a record while it runs, and one in the end.
func TestALongCallIsOpenMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.archive()
	release := make(chan struct{})
	slow := node(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusOK)
	})
	gw := w.gateway("", func(s *gateway.Settings) { s.Spool.Open = 50 * time.Millisecond })
	gw.reached(t, w.commit(w.siteOn(slow)...))
	var call sync.WaitGroup
	call.Go(func() { expect(t, gw, "", "/rest/api/2/slow", http.StatusOK, "", "") })
	const outcome = `SELECT count(*) FROM audit.events WHERE path = '/rest/api/2/slow' AND outcome = $1`
	a.await("open", 1, outcome, "open")
	close(release)
	call.Wait()
	a.await("completed", 1, outcome, "completed")
	a.await("rows", 1, calls, "/rest/api/2/slow")
	a.linked()
}

// TestSyncAlwaysIsDurableFirst: with audit.sync always, nothing is answered before it is on the disk.
func TestSyncAlwaysIsDurableFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.archive()
	facts := w.site()
	gw := w.gateway("", func(s *gateway.Settings) { s.Spool.Sync = time.Hour })
	gw.reached(t, w.commit(append(facts, &configv1.AuditingSet{Site: "jira", Enabled: true, Sync: "always", WhenUnavailable: "deny"})...))
	for range 5 {
		expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "") // would not come with group
	}
	expect(t, gw, "Digest x", "/rest/api/2/serverInfo", http.StatusUnauthorized, "scheme_unsupported", "")
	a.await("calls", 5, `SELECT count(*) FROM audit.call WHERE path = $1 AND decision <> 'deny'`, "/rest/api/2/serverInfo")
}

// TestAFingerprintStays: the same credential has the same fingerprint at every gateway and after a restart, and another
// one has another.
func TestAFingerprintStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.archive()
	seq := w.commit(w.site()...)
	one, two := w.gateway(""), w.gateway("")
	for _, gw := range []*running{one, two} {
		gw.reached(t, seq)
	}
	token, pat := "Bearer "+w.token(), "Bearer "+w.lab.Jira.PAT("alice")
	expect(t, one, token, myself, http.StatusOK, "", "svc-api")
	one.stop()
	one = w.gateway(one.dir)
	one.reached(t, seq)
	for _, gw := range []*running{one, two} {
		expect(t, gw, token, myself, http.StatusOK, "", "svc-api")
		expect(t, gw, pat, myself, http.StatusOK, "", "alice")
	}
	a.await("calls", 5, calls, myself)
	a.await("fingerprints", 2, `SELECT count(DISTINCT credential_fingerprint) FROM audit.events WHERE length(credential_fingerprint) = 16 AND path = $1`, myself)
}

// TestAFullStreamFillsTheSpool: while the stream takes nothing more, calls are answered and their records wait.
func TestAFullStreamFillsTheSpool(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	js := w.nats.JetStream(t, topology.Config)
	stream, err := js.Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	narrow := stream.CachedInfo().Config
	narrow.MaxBytes = 600 << 10 // a batch fits
	if _, err := js.UpdateStream(t.Context(), narrow); err != nil {
		t.Fatal(err)
	}
	gw := w.gateway("")
	gw.reached(t, w.commit(w.site()...))
	backlog := func() (n int) {
		_, after, _ := strings.Cut(metrics(gw), "\ngatehouse_audit_backlog{service=\"gateway\"} ")
		_, _ = fmt.Sscan(after, &n)
		return n
	}
	made := 0
	testkit.Until(t, "a stream that is full", func() bool {
		for range 10 {
			expect(t, gw, "", "/rest/api/2/serverInfo?long="+strings.Repeat("x", 4000), http.StatusOK, "", "")
			made++
		}
		return backlog() > 50
	})
	a := w.archive()
	a.await("calls", made, calls, "/rest/api/2/serverInfo")
	a.linked()
}
