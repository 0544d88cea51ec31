package audit

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nuid"
)

// readerDoc is the page about the views.
func readerDoc(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/audit-database.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestViewsAsDocumented: the columns of the views are those of the page, with its words.
func TestViewsAsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, table, _ := strings.Cut(readerDoc(t), "## Columns")
	in := map[string]string{}
	for _, c := range viewColumns(t, w.url) {
		line := fmt.Sprintf("| `%s` | %s | %%s | %s |", c.name, c.kind, c.says)
		switch {
		case c.view == "records":
		case in[line] == "":
			in[line] = c.view
		default:
			in[line] = "both"
		}
	}
	var got, want []string
	for line, where := range in {
		want = append(want, fmt.Sprintf(line, where))
	}
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("- in the database, + on the page:\n%s", d)
	}
	for _, c := range viewColumns(t, w.url) {
		if c.view == "records" && !strings.Contains(table, "| `"+c.name+"` | "+c.kind+" |") || c.says == "" {
			t.Errorf("audit.%s.%s is not documented", c.view, c.name)
		}
	}
}

// TestReaderRole: the role that the page makes reads the views and nothing else.
func TestReaderRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	w.publish(t, batch("g1", 1, 1, 3))
	w.awaitCount(t, 3)
	name := "reader_" + strings.ToLower(nuid.Next())
	blocks := strings.Split(readerDoc(t), "```")
	w.shell(t, strings.ReplaceAll(strings.TrimPrefix(blocks[1], "sh"), "audit_reader", name))
	defer exec(t, w.url, "DROP OWNED BY "+name+"; DROP ROLE "+name)
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, "choose one")
	if n := row[int](t, u.String(), `SELECT count(*) FROM audit.events WHERE id > 0`); n != 3 {
		t.Errorf("%d events", n)
	}
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const denied = "42501" // insufficient_privilege
	for _, table := range []string{"call", "sealed_secret", "config_commit", "rejected"} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), "SELECT * FROM audit."+table); !errors.As(err, &refused) || refused.Code != denied {
			t.Errorf("audit.%s: %v", table, err)
		}
	}
}

// column is one of a view.
type column struct{ view, name, kind, says string }

func viewColumns(t testing.TB, url string) []column {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT c.relname, a.attname, replace(format_type(a.atttypid, NULL), 'timestamp with time zone', 'timestamptz'),
			coalesce(col_description(c.oid, a.attnum), '')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'audit'::regnamespace AND c.relname IN ('events', 'actions', 'records') AND a.attnum > 0`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.view, &c.name, &c.kind, &c.says)
		return c, err
	})
	if err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	return all
}
