package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// versionTable holds the version of a schema, inside that schema.
const versionTable = "schema_migrations"

// noTransaction is the first line of a migration file that Postgres cannot run within a transaction.
const noTransaction = "-- no transaction"

// DirtyError says that a migration file marked "-- no transaction" did not run to its end, so nobody knows how much
// of it holds.
type DirtyError struct {
	Schema  string
	Version int // of the file
}

func (e *DirtyError) Error() string {
	return fmt.Sprintf("schema %[1]s is dirty: its migration %[2]d ran only in part. Look at what that file does and"+
		" undo or finish it by hand, then UPDATE %[1]s.%[3]s SET dirty = false, with version = %[2]d when it is finished"+
		" and the version before it when it is undone (no row when there is none), and start again",
		e.Schema, e.Version, versionTable)
}

// NewerError says that the schema was migrated by a newer program than this one.
type NewerError struct {
	Schema  string
	Version int // of the schema
	Known   int // the newest this program knows
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("schema %s is at version %d and this program knows none above %d: start the newer program",
		e.Schema, e.Version, e.Known)
}

// Migrate brings one schema of the database to the newest version among the files of fsys under dir, named as
// golang-migrate names them: 0001_events.up.sql. It makes the schema when it is not there, and keeps its version in
// schema_migrations within it.
//
// Any number of instances may call it at once: one works, under golang-migrate's advisory lock, the others wait for
// it as long as ctx allows and then find nothing to do. (Advisory locks need a connection of one's own: no pooler in
// transaction mode.)
//
// A file and the version it leads to are one transaction: after kill -9, a cut connection or an error in it the file
// has never run. So files hold no BEGIN and no COMMIT. What Postgres refuses within a transaction (CREATE INDEX
// CONCURRENTLY) goes into a file of its own, one statement long, with the first line "-- no transaction"; only such
// a file can leave the schema dirty.
//
// Errors: *DirtyError, *NewerError, an error which names the file's version and the line, or the connection's. When
// ctx ends the connection is cut.
func Migrate(ctx context.Context, databaseURL string, fsys fs.FS, dir, schema string) error {
	if err := migrateSchema(ctx, databaseURL, fsys, dir, schema); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return fmt.Errorf("migrate schema %s: %w", schema, err)
	}
	return nil
}

func migrateSchema(ctx context.Context, databaseURL string, fsys fs.FS, dir, schema string) error {
	files, err := iofs.New(fsys, dir)
	if err != nil {
		return err
	}
	known, err := newest(files)
	if err != nil {
		return fmt.Errorf("no migrations in %s: %w", dir, err)
	}
	db, err := openCuttable(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := ensureSchema(ctx, db, schema); err != nil {
		return err
	}
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{SchemaName: schema, MigrationsTable: versionTable})
	if err != nil {
		return err
	}
	defer func() { _ = driver.Close() }()
	// Versions only grow, so this needs no lock. Whether it is dirty does: another instance may be in such a file.
	if version, _, err := driver.Version(); err != nil {
		return cause(err)
	} else if version > known {
		return &NewerError{Schema: schema, Version: version, Known: known}
	}
	m, err := migrate.NewWithInstance("iofs", files, "pgx5", &oneTransaction{Driver: driver, schema: schema})
	if err != nil {
		return err
	}
	m.LockTimeout = 24 * time.Hour // ctx decides
	err = m.Up()
	var dirty migrate.ErrDirty
	switch {
	case errors.Is(err, migrate.ErrNoChange):
		return nil
	case errors.As(err, &dirty):
		return &DirtyError{Schema: schema, Version: dirty.Version}
	default:
		return err
	}
}

// newest is the highest version among the files.
func newest(files source.Driver) (int, error) {
	last, err := files.First()
	if err != nil {
		return 0, err
	}
	for next := last; err == nil; next, err = files.Next(last) {
		last = next
	}
	return int(last), nil
}

// openCuttable opens the database with connections that break when ctx ends: golang-migrate takes no ctx and would
// wait for its lock for ever.
func openCuttable(ctx context.Context, databaseURL string) (*sql.DB, error) {
	pool, err := pgxpool.ParseConfig(databaseURL) // not pgx.ParseConfig: it would hand pool_max_conns to the server
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	cfg := pool.ConnConfig
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "gatehouse-migrate"
	}
	dial := cfg.DialFunc
	cfg.DialFunc = func(dialing context.Context, network, addr string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dialing, cancel := context.WithCancel(dialing)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		conn, err := dial(dialing, network, addr)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		return &cuttable{Conn: conn, stop: stop}, nil
	}
	return stdlib.OpenDB(*cfg), nil
}

// cuttable is a connection that forgets its ctx when it is closed.
type cuttable struct {
	net.Conn
	stop func() bool
}

func (c *cuttable) Close() error {
	c.stop()
	return c.Conn.Close()
}

// ensureSchema makes the schema. It looks first, because a user who may use the schema need not be one who may make it.
func ensureSchema(ctx context.Context, db *sql.DB, schema string) error {
	var exists bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	// Two at once: IF NOT EXISTS does not see the other's, and the loser runs into the catalog's unique index.
	if hasCode(err, "23505", "42P06") {
		return nil
	}
	return err
}

// hasCode tells whether the database answered with one of these error codes (PostgreSQL manual, appendix A).
func hasCode(err error, codes ...string) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range codes {
		if answer.Code == code {
			return true
		}
	}
	return false
}

// oneTransaction makes a file and its version one transaction. golang-migrate marks the version dirty, runs the file
// and marks it clean, in three transactions: killed in between it needs a person. Several statements sent as one
// query are one transaction (PostgreSQL manual, 55.2.2.1), so the version is written by the last of them.
type oneTransaction struct {
	database.Driver
	schema  string
	version int // announced by SetVersion and not yet written
}

// SetVersion defers the dirty mark to Run, which knows whether it is needed.
func (d *oneTransaction) SetVersion(version int, dirty bool) error {
	if dirty {
		d.version = version
		return nil
	}
	return cause(d.Driver.SetVersion(version, false))
}

func (d *oneTransaction) Run(file io.Reader) error {
	body, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read migration %d: %w", d.version, err)
	}
	if bytes.HasPrefix(body, []byte(noTransaction)) {
		if err := d.Driver.SetVersion(d.version, true); err != nil {
			return cause(err)
		}
	} else {
		table := pgx.Identifier{d.schema, versionTable}.Sanitize()
		body = fmt.Appendf(body, "\n;TRUNCATE %s;\nINSERT INTO %s (version, dirty) VALUES (%d, false);\n", table, table, d.version)
	}
	if err := d.Driver.Run(bytes.NewReader(body)); err != nil {
		return fmt.Errorf("migration %d%w", d.version, located(err))
	}
	return nil
}

// cause is what the database answered, without the whole text of the query that golang-migrate puts around it.
func cause(err error) error {
	_, orig := unpack(err)
	return orig
}

// located is cause with the line of the file, as the end of a sentence about the file.
func located(err error) error {
	line, orig := unpack(err)
	if line == 0 {
		return fmt.Errorf(": %w", orig)
	}
	return fmt.Errorf(", line %d: %w", line, orig)
}

// unpack undoes golang-migrate's error, which comes as a value or a pointer and does not unwrap.
func unpack(err error) (line uint, orig error) {
	var value database.Error
	var pointer *database.Error
	switch {
	case errors.As(err, &pointer) && pointer.OrigErr != nil:
		return pointer.Line, pointer.OrigErr
	case errors.As(err, &value) && value.OrigErr != nil:
		return value.Line, value.OrigErr
	default:
		return 0, err
	}
}
