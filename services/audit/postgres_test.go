package audit

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// ownServer is a world on a Postgres of its own, in dir.
func ownServer(t testing.TB) (w *world, dir string, server *postgres.Private) {
	t.Helper()
	dir = filepath.Join(testkit.OpenDir(t), "postgres")
	server = startServer(t, dir)
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	w = &world{nats: testkit.StartNATS(t), url: server.URL()}
	w.gateway = w.nats.JetStream(t, topology.Gateway)
	return w, dir, server
}

func startServer(t testing.TB, dir string) *postgres.Private {
	t.Helper()
	server, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir, Options: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// TestPostgresSlow: every commit takes a third of a second. What comes meanwhile goes with the next one, so the service
// keeps up, and searches are answered.
func TestPostgresSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec(t, w.url, `CREATE FUNCTION audit.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
		CREATE TRIGGER slow AFTER UPDATE ON audit.cursor EXECUTE FUNCTION audit.slow()`)
	in := w.start(t)
	in.awaitReady(t)
	for k := range uint64(300) {
		w.publish(t, batch("gw1", 1, k*10+1, k*10+10))
		if k == 100 {
			in.search(t, "limit=1")
		}
	}
	w.awaitCount(t, 3000)
	w.exact(t)
	if n := in.metric(t, "gatehouse_audit_transactions_total"); n > 60 {
		t.Errorf("%v transactions for 300 batches", n)
	}
	if ready, d := in.health(t); !ready || d.Database != "" {
		t.Errorf("not ready: %+v", d)
	}
}

// TestPostgresRestartedUnderLoad, three times, as an upgrade of the server does.
func TestPostgresRestartedUnderLoad(t *testing.T) {
	t.Parallel()
	w, dir, server := ownServer(t)
	in := w.start(t)
	in.awaitReady(t)
	for k := range uint64(60) {
		w.publish(t, batch("gw1", 1, k*100+1, k*100+100))
		if k%20 == 10 {
			if err := server.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.publish(t, batch("gw2", 1, k*10+1, k*10+10)) // while it is away
			server = startServer(t, dir)
			t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
		}
	}
	w.awaitCount(t, 6030)
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.source WHERE gateway = 'gw1' AND last_n = 6000`); n != 1 {
		t.Error("gw1 is not whole")
	}
	in.awaitReady(t)
}

// TestReadOnlyPostgres, such as a replica after a failover that nobody has told us of.
func TestReadOnlyPostgres(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 10))
	w.awaitCount(t, 10)
	name := row[string](t, w.url, `SELECT current_database()`)
	exec(t, w.url, `ALTER DATABASE `+name+` SET default_transaction_read_only = on`)
	exec(t, w.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	w.publish(t, batch("gw1", 1, 11, 20))
	await(t, "it is said", func() bool { ready, d := in.health(t); return !ready && strings.Contains(d.Database, "read-only") })
	if p := in.search(t, ""); len(p.Events) != 10 {
		t.Errorf("%d found", len(p.Events))
	}
	writable := w.url + "&default_transaction_read_only=off"
	exec(t, writable, `ALTER DATABASE `+name+` RESET default_transaction_read_only`)
	exec(t, w.url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	w.awaitCount(t, 20)
	w.exact(t)
}

// versions are those that the schema has had.
func versions(t testing.TB) []string {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.up.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	return files
}

// TestMigratedFromEachVersion: what an earlier version has stored is there, found and counted, and the next records
// follow it.
func TestMigratedFromEachVersion(t *testing.T) {
	t.Parallel()
	all := versions(t)
	for i, last := range all {
		t.Run(filepath.Base(last), func(t *testing.T) {
			t.Parallel()
			older := fstest.MapFS{}
			for _, file := range all[:i+1] {
				text, err := migrations.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				older[file] = &fstest.MapFile{Data: text}
			}
			w := &world{nats: testkit.StartNATS(t), url: testkit.Postgres(t, func(ctx context.Context, url string) error {
				return postgres.Migrate(ctx, url, older, "migrations", schema)
			})}
			w.gateway = w.nats.JetStream(t, topology.Gateway)
			w.storeAsThen(t, i >= slices.IndexFunc(all, func(f string) bool { return strings.Contains(f, "0004") }))
			in := w.start(t)
			in.awaitReady(t)
			w.publish(t, batch("gw1", 1, 41, 60))
			w.awaitCount(t, 60)
			p := in.search(t, "order=asc&limit=1000&gateway=gw1")
			if len(p.Events) != 60 || p.Events[0].Kind != "call" || p.Events[0].Path != "/rest/api/2/myself" || p.Events[59].N != 60 {
				t.Errorf("%d found", len(p.Events))
			}
			if found := in.search(t, "user=old7"); len(found.Events) != 1 || found.Events[0].N != 7 {
				t.Errorf("found %v", ids(found))
			}
			if n := row[int](t, w.url, `SELECT sum(calls) FROM audit.stat`); n != 60 && i < slices.IndexFunc(all, func(f string) bool { return strings.Contains(f, "0011") }) { // else they count themselves
				t.Errorf("%d calls are counted", n)
			}
			if n := row[int](t, w.url, `SELECT count(*) FROM audit.hole`); n != 0 {
				t.Errorf("%d holes", n)
			}
			if v := verified(t, in, ""); !v.OK || v.Unchained != 60 {
				t.Errorf("%+v", v)
			}
			told[outcome](t, in, http.StatusOK, http.MethodPost, "retention/run?dry_run=true", "")
		})
	}
}

// storeAsThen stores 40 records of gw1 in the columns that every version has had.
func (w *world) storeAsThen(t testing.TB, runs bool) {
	t.Helper()
	const lo, hi = 1, 1_000_001
	exec(t, w.url, fmt.Sprintf(`CREATE TABLE audit.call_000000000000001 (LIKE audit.call INCLUDING ALL);
		ALTER TABLE audit.call ATTACH PARTITION audit.call_000000000000001 FOR VALUES FROM (%d) TO (%d);
		INSERT INTO audit.part (name, lo, hi, rows, min_time, max_time, stored_from, stored_to)
			VALUES ('call_000000000000001', %[1]d, %[2]d, 40, '2026-01-02T03:00:00.001Z', '2026-01-02T03:00:00.040Z', now(), now());
		INSERT INTO audit.call (id, time, epoch, n, opened, config_version, bytes_in, bytes_out, duration_ns, upstream_duration_ns, status, client_ip, gateway,
				request_id, site, node, credential, provider, client_id, credential_fingerprint, username, decision, reason, detail, observed, outcome, method,
				path, query, user_agent, trace_id)
			SELECT id, timestamptz '2026-01-02T03:00:00Z' + id * interval '1 millisecond', 1, id, 0, 1, 1, 2, 3000000, 2000000, 200, '192.0.2.7', 'gw1', 'r' || id, 'jira',
				'n1', 'oauth', 'corp', 'ci-bot', 'f00d', 'old' || id, 'allow', 'allowed', '', '', 'completed', 'GET', '/rest/api/2/myself', '', 'curl', ''
			FROM generate_series(1, 40) AS id;
		UPDATE audit.head SET last_id = 40; INSERT INTO audit.source (gateway, epoch, last_n) VALUES ('gw1', 1, 40)`, lo, hi))
	if runs {
		exec(t, w.url, `INSERT INTO audit.run (gateway, epoch, first_n, last_n, first_id) VALUES ('gw1', 1, 1, 40, 1)`)
	}
}
