package testkit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
)

// Postgres returns the URL of a database of this test's own, dropped when the test ends. migrate prepares it; nil
// leaves it empty.
//
// When migrate is a plain named function it runs once for a test binary, on a template that all its databases are
// copies of: such a function must do the same whenever it is called, and leave no connection open. A closure or a
// method value may do something else for each test, so it runs for each.
//
// All test processes of this user share one server under [os.TempDir]/gatehouse-test-postgres-<uid>-<release>. The
// first starts it, with fsync off and new data; it outlives them, so that the next need not wait. A small shell loop
// looks every 2 minutes and ends it when no test uses it; scripts/postgres.sh stop-test ends it now. A test that stops,
// kills or fills its server starts one of its own with postgres.StartPrivate in [OpenDir].
//
// A machine without PostgreSQL fails the test: run scripts/postgres.sh.
func Postgres(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	s := startShared(ctx, t)
	name := "test_" + strings.ToLower(rand.Text()[:16])
	template, err := s.template(ctx, migrate)
	if err == nil {
		_, err = s.conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
	}
	if err != nil {
		t.Fatalf("make a database for this test: %v", err)
	}
	t.Cleanup(func() { s.drop(t, name) })
	own := s.urlOf(name)
	if migrate != nil && template == emptyTemplate {
		if err := migrate(ctx, own); err != nil {
			t.Fatalf("migrate the database of this test: %v", err)
		}
	}
	if err := s.conn.Close(ctx); err != nil {
		t.Fatalf("leave the shared test server: %v", err)
	}
	return own
}

// OpenDir returns a folder of this test's own that any user may enter but not list: t.TempDir is shut to all but its
// owner, and a private Postgres started by root runs as somebody else.
func OpenDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return dir
}

const emptyTemplate = "template0"

// sharedServer is a connection to the server that all tests share.
type sharedServer struct {
	url  string // of its database gatehouse
	conn *pgx.Conn
}

// startShared starts the shared server or finds it running, and keeps it from being ended until the test has.
func startShared(ctx context.Context, t testing.TB) *sharedServer {
	t.Helper()
	major, err := postgres.Major(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-test-postgres-%d-%d", os.Getuid(), major))
	if err := sharedFolder(dir); err != nil {
		t.Fatal(err)
	}
	users, err := flock(filepath.Join(dir, "users"), syscall.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = users.Close() })
	address, err := ensureShared(ctx, t, dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &sharedServer{url: address}
	if s.conn, err = pgx.Connect(ctx, address); err != nil {
		t.Fatal(err)
	}
	return s
}

// sharedFolder makes the folder, or checks that it is ours: its name is known and its parent is everybody's.
func sharedFolder(dir string) error {
	err := os.Mkdir(dir, 0o711) //nolint:gosec // the server's account must pass
	if err == nil || !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a folder of ours: remove it", dir)
	}
	return nil
}

// ensureShared returns the address of the server, started when nothing runs.
func ensureShared(ctx context.Context, t testing.TB, dir string) (string, error) {
	start, err := flock(filepath.Join(dir, "start"), syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer func() { _ = start.Close() }()
	private := filepath.Join(dir, "postgres")
	// A server holds this lock as long as it lives. Without one the data may be what a crash of the machine left,
	// with fsync off: they are of no use.
	running, err := flock(filepath.Join(private, "lock"), syscall.LOCK_EX|syscall.LOCK_NB)
	fresh := err == nil || errors.Is(err, os.ErrNotExist)
	if err == nil {
		_ = running.Close()
	}
	if fresh {
		if err := os.RemoveAll(private); err != nil {
			return "", err
		}
	}
	p, err := postgres.StartPrivate(ctx, Logger(t), postgres.PrivateSettings{Dir: private, Options: map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
		"max_connections": "200", "shared_buffers": "64MB", "autovacuum_naptime": "1h",
	}})
	if err != nil {
		return "", err
	}
	p.Release()
	if fresh {
		return p.URL(), guard(ctx, t, dir)
	}
	return p.URL(), nil
}

// guard starts the process that ends the server when no test uses it: each holds the file users, the server itself
// holds the file lock. Were there two of them, the second would find nothing to do. scripts/postgres.sh stop-test
// finds it by the file guard.
func guard(ctx context.Context, t testing.TB, dir string) error {
	t.Helper()
	const loop = `cd "$1" && echo $$ >guard || exit
while sleep 120 && [ -d postgres ]; do
	flock -n postgres/lock true && exit
	flock -n users sh -c 'kill -INT "$(head -n 1 postgres/data/postmaster.pid)" && flock postgres/lock true' && exit
done`
	if _, err := exec.LookPath("flock"); err != nil {
		t.Log("no flock program: the test server runs until scripts/postgres.sh stop-test")
		return nil
	}
	// Without our output: go test waits until nobody holds that any more.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", loop, "gatehouse-test-postgres", dir) //nolint:gosec // the loop above
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guard of the test server: %w", err)
	}
	return cmd.Process.Release()
}

// template returns the name of a database to copy: migrated, when migrate is a function that we may run once for all.
func (s *sharedServer) template(ctx context.Context, migrate func(context.Context, string) error) (string, error) {
	key := templateKey(migrate)
	if key == "" {
		return emptyTemplate, nil
	}
	// One at a time; the lock goes with the connection.
	if _, err := s.conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", key); err != nil {
		return "", err
	}
	var exists bool
	err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", key).Scan(&exists)
	if err != nil || exists {
		return key, err
	}
	unfinished := key + "_new"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + unfinished, "CREATE DATABASE " + unfinished + " TEMPLATE template0"} {
		if _, err := s.conn.Exec(ctx, statement); err != nil {
			return "", err
		}
	}
	if err := migrate(ctx, s.urlOf(unfinished)); err != nil {
		return "", fmt.Errorf("migrate: %w", err)
	}
	if _, err = s.conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+key); err != nil {
		return "", fmt.Errorf("migrate must leave no connection open: %w", err)
	}
	return key, nil
}

// templateKey names the template that a function makes: by the function and the program it is compiled into, so that a
// changed migration is another one. It is empty for nil, a closure and a method value.
func templateKey(migrate func(context.Context, string) error) string {
	if migrate == nil {
		return ""
	}
	name := runtime.FuncForPC(reflect.ValueOf(migrate).Pointer()).Name() // "example.com/shop/audit.Migrate"
	last := name[strings.LastIndexByte(name, '/')+1:]
	if strings.Count(last, ".") != 1 || strings.ContainsAny(last, "-[(") {
		return ""
	}
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(program)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Append(nil, name, program, info.Size(), info.ModTime().UnixNano()))
	return fmt.Sprintf("template_%x", sum[:8])
}

// urlOf is the address of another database of the server.
func (s *sharedServer) urlOf(name string) string {
	address, err := url.Parse(s.url)
	if err != nil {
		panic(err) // StartPrivate made it
	}
	address.Path = "/" + name
	return address.String()
}

// drop removes a test's database, with the connections that the test left open.
func (s *sharedServer) drop(t testing.TB, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url)
	if err == nil {
		_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		_ = conn.Close(ctx)
	}
	if err != nil {
		t.Logf("drop the database of this test: %v", err)
	}
}

func flock(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // within the shared folder
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
