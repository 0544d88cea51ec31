package testkit_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

func makeNotes(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE TABLE notes (made_in) AS SELECT current_database()::text")
	return err
}

func query(t *testing.T, url, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPostgresGivesEachTestADatabase(t *testing.T) {
	t.Parallel()
	one, two := testkit.Postgres(t, makeNotes), testkit.Postgres(t, makeNotes)
	if one == two {
		t.Fatalf("both have %s", one)
	}
	query(t, one, "INSERT INTO notes VALUES ('mine') RETURNING made_in")
	if n := query(t, two, "SELECT count(*)::text FROM notes"); n != "1" {
		t.Errorf("the other test's database has %s notes", n)
	}
	if a, b := query(t, one, "SELECT made_in FROM notes LIMIT 1"), query(t, two, "SELECT made_in FROM notes"); a != b {
		t.Errorf("migrated twice: in %s and in %s", a, b)
	}
}

func TestPostgresRunsAClosureForEachTest(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"a", "b"} {
		url := testkit.Postgres(t, func(ctx context.Context, url string) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(ctx) }()
			_, err = conn.Exec(ctx, "CREATE TABLE "+table+" ()")
			return err
		})
		if got := query(t, url, "SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'public'::regnamespace"); got != table {
			t.Errorf("tables %s, want %s", got, table)
		}
	}
}

func TestPostgresWithoutMigrationIsEmpty(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t, nil)
	if n := query(t, url, "SELECT count(*)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"); n != "0" {
		t.Errorf("%s tables in an empty database", n)
	}
}

func TestPostgresDropsWhatATestLeaves(t *testing.T) {
	t.Parallel()
	admin := testkit.Postgres(t, nil)
	var name string
	t.Run("a test", func(t *testing.T) {
		url := testkit.Postgres(t, makeNotes)
		name = query(t, url, "SELECT current_database()::text")
		if _, err := pgx.Connect(context.WithoutCancel(t.Context()), url); err != nil { // left open
			t.Fatal(err)
		}
	})
	if n := query(t, admin, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); n != "0" {
		t.Errorf("database %s is still there", name)
	}
}
