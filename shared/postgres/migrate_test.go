package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// files is a folder sql of migrations numbered from 1.
func files(statements ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, text := range statements {
		fsys[fmt.Sprintf("sql/%04d_step.up.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// value runs one query which answers one text.
func value(t *testing.T, url, sql string) (answer string) {
	t.Helper()
	conn := connect(t, url)
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// connect gives a connection that is closed when the test ends.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

const version = "SELECT string_agg(version || CASE WHEN dirty THEN ' dirty' ELSE '' END, ',') FROM audit.schema_migrations"

func TestMigrateTwiceThenOn(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	first := files("CREATE TABLE audit.a (); -- the last line has no end")
	for range 2 {
		if err := postgres.Migrate(t.Context(), url, first, "sql", "audit"); err != nil {
			t.Fatal(err)
		}
	}
	both := files("CREATE TABLE audit.a ();", "CREATE TABLE audit.b (); CREATE TABLE audit.c ()")
	if err := postgres.Migrate(t.Context(), url+"&pool_max_conns=3", both, "sql", "audit"); err != nil {
		t.Fatal(err)
	}
	if got := value(t, url, version); got != "2" {
		t.Errorf("version %s, want 2", got)
	}
	if got := value(t, url, "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != "0" {
		t.Errorf("%s things outside the schema", got)
	}
}

func TestMigrateSeveralInstancesAtOnce(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	fsys := files("CREATE TABLE audit.a (); SELECT pg_sleep(0.2)", "CREATE TABLE audit.b ()", "CREATE TABLE audit.c ()")
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() { errs[i] = postgres.Migrate(t.Context(), url, fsys, "sql", "audit") })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := value(t, url, version); got != "3" {
		t.Errorf("version %s, want 3", got)
	}
}

func TestMigrateRollsABadFileBack(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	err := postgres.Migrate(t.Context(), url, files("CREATE TABLE audit.a ()", "CREATE TABLE audit.b ();\nCREATE TABLE audit.b ()"), "sql", "audit")
	if err == nil || !strings.Contains(err.Error(), "migration 2") || !strings.Contains(err.Error(), `"b" already exists`) {
		t.Fatalf("error %v, want one which names the file and the reason", err)
	}
	if got := value(t, url, version); got != "1" {
		t.Errorf("version %s, want 1", got)
	}
	if err := postgres.Migrate(t.Context(), url, files("CREATE TABLE audit.a ()", "CREATE TABLE audit.b ()"), "sql", "audit"); err != nil {
		t.Fatalf("the corrected file: %v", err)
	}
}

func TestMigrateNamesTheLine(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	err := postgres.Migrate(t.Context(), url, files("CREATE TABLE audit.a ();\n\nCREATE TABEL audit.b ()"), "sql", "audit")
	if err == nil || !strings.Contains(err.Error(), "migration 1, line 3: ") {
		t.Fatalf("error %v", err)
	}
}

func TestMigrateOutsideATransaction(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	fsys := files("CREATE TABLE audit.a (x int)", "-- no transaction\nCREATE INDEX CONCURRENTLY ON audit.a (x)")
	if err := postgres.Migrate(t.Context(), url, fsys, "sql", "audit"); err != nil {
		t.Fatal(err)
	}
	if got := value(t, url, version); got != "2" {
		t.Errorf("version %s, want 2", got)
	}
}

func TestMigrateDirty(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	fsys := files("CREATE TABLE audit.a (x int)", "-- no transaction\nCREATE INDEX CONCURRENTLY ON audit.a (y)")
	if err := postgres.Migrate(t.Context(), url, fsys, "sql", "audit"); err == nil {
		t.Fatal("no error for a missing column")
	}
	err := postgres.Migrate(t.Context(), url, fsys, "sql", "audit")
	var dirty *postgres.DirtyError
	if !errors.As(err, &dirty) || dirty.Version != 2 || dirty.Schema != "audit" {
		t.Fatalf("error %v, want a DirtyError of version 2", err)
	}
	if !strings.Contains(err.Error(), "migration 2") || !strings.Contains(err.Error(), "UPDATE audit.schema_migrations") {
		t.Errorf("error %q does not say what to do", err)
	}
	// What it says to do when the file is undone.
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), "UPDATE audit.schema_migrations SET dirty = false, version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, files("", "CREATE INDEX ON audit.a (x)"), "sql", "audit"); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateNewerThanTheProgram(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	if err := postgres.Migrate(t.Context(), url, files("", "", "CREATE TABLE audit.c ()"), "sql", "audit"); err != nil {
		t.Fatal(err)
	}
	err := postgres.Migrate(t.Context(), url, files("", ""), "sql", "audit")
	var newer *postgres.NewerError
	if !errors.As(err, &newer) || newer.Version != 3 || newer.Known != 2 {
		t.Fatalf("error %v, want a NewerError of 3 over 2", err)
	}
}

func TestMigrateCutInTheMiddleIsNotDirty(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	slow := files("CREATE TABLE audit.a ()", "CREATE TABLE audit.b (); SELECT pg_sleep(3)")
	began := time.Now()
	if err := postgres.Migrate(ctx, url, slow, "sql", "audit"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the deadline's", err)
	}
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("returned after %v", took)
	}
	// The server notices late and may even commit; the next instance waits for it and finds a clean state.
	if err := postgres.Migrate(t.Context(), url, slow, "sql", "audit"); err != nil {
		t.Fatal(err)
	}
	if got := value(t, url, version); got != "2" {
		t.Errorf("version %s, want 2", got)
	}
}

func TestMigrateWaitsAsLongAsCtxAllows(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	if err := postgres.Migrate(t.Context(), url, files("CREATE TABLE audit.a ()"), "sql", "audit"); err != nil {
		t.Fatal(err)
	}
	blocking := make(chan error, 1)
	go func() {
		blocking <- postgres.Migrate(t.Context(), url, files("", "SELECT pg_sleep(4)"), "sql", "audit")
	}()
	watch := connect(t, url)
	for working := false; !working; {
		err := watch.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity"+
			" WHERE wait_event = 'PgSleep' AND datname = current_database())").Scan(&working)
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := postgres.Migrate(ctx, url, files("", ""), "sql", "audit"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	if err := <-blocking; err != nil {
		t.Error(err)
	}
}

func TestMigrateWithoutFilesOrDatabase(t *testing.T) {
	t.Parallel()
	if err := postgres.Migrate(t.Context(), nobodyListens, files(""), "sql", "audit"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("database away: error %v", err)
	}
	if err := postgres.Migrate(t.Context(), nobodyListens, fstest.MapFS{"sql/readme": {}}, "sql", "audit"); err == nil || !strings.Contains(err.Error(), "no migrations in sql") {
		t.Errorf("no files: error %v", err)
	}
}
