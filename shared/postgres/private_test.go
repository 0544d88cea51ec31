package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

func ExampleStartPrivate() {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	private, err := postgres.StartPrivate(ctx, log, postgres.PrivateSettings{Dir: "/var/lib/gatehouse/postgres"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = private.Stop(ctx) }()
	pool, err := postgres.Open(ctx, postgres.Settings{URL: private.URL(), Application: "audit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
}

// quick are options of servers that nobody pulls the plug of.
func quick() map[string]string { return map[string]string{"fsync": "off"} }

// start runs a private server in dir until the test ends.
func start(t *testing.T, dir string) *postgres.Private {
	t.Helper()
	p, err := postgres.StartPrivate(t.Context(), slog.New(slog.DiscardHandler), postgres.PrivateSettings{Dir: dir, Options: quick()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

func stop(t *testing.T, p *postgres.Private) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// pid reads the process that runs on the data of dir.
func pid(t *testing.T, dir string) int {
	t.Helper()
	n, err := readPid(dir)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readPid(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(line)
}

// successor waits until another process than before runs on the data of dir and answers.
func successor(t *testing.T, p *postgres.Private, dir string, before int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if now, err := readPid(dir); err == nil && now != before {
			reach(t, p.URL())
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("nobody followed process %d", before)
		}
	}
}

// gone fails the test when a server runs on the data of dir.
func gone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a server still runs in %s: %v", dir, err)
	}
}

// reach waits until the database answers.
func reach(t *testing.T, url string) {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Settings{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := postgres.Wait(ctx, pool); err != nil {
		t.Fatal(err)
	}
}

func TestPrivateKeepsItsDataAndItsPromises(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "deep", "postgres")
	p, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, p)
	for setting, want := range map[string]string{
		"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on",
		"listen_addresses": "", "server_encoding": "UTF8", "unix_socket_permissions": "0700", "lc_collate": "C.UTF-8",
	} {
		if got := value(t, p.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := value(t, p.URL(), "SELECT current_database() || ' ' || current_user"); got != "gatehouse gatehouse" {
		t.Errorf("connected to %s", got)
	}
	if _, err := connect(t, p.URL()).Exec(t.Context(), "CREATE TABLE kept AS SELECT 'still here' AS text"); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	stop(t, p) // does nothing
	gone(t, dir)

	again := start(t, dir)
	if again.URL() != p.URL() {
		t.Errorf("address %s, before %s", again.URL(), p.URL())
	}
	if got := value(t, again.URL(), "SELECT text FROM kept"); got != "still here" {
		t.Errorf("kept %q", got)
	}
}

func TestPrivateRunsUnprivilegedAndOutOfReach(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	start(t, dir)
	server := pid(t, dir)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status), "\nUid:\t0\t") || strings.Contains(string(status), "\nGid:\t0\t") {
		t.Errorf("the server runs as root:\n%s", status)
	}
	if os.Geteuid() == 0 && !strings.Contains(string(status), "\nGroups:\t \n") {
		t.Errorf("the server kept groups of root:\n%s", status)
	}
	if group, err := syscall.Getpgid(server); err != nil || group == syscall.Getpgrp() {
		t.Errorf("process group %d (%v): Ctrl-C would reach the server", group, err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v; want 0700: whoever enters is trusted", info.Mode(), err)
	}
}

func TestPrivateStartsAgainWhenItDies(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	p := start(t, dir)
	pool, err := postgres.Open(t.Context(), postgres.Settings{URL: p.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // kill -9, and an end that nobody asked us about
		before := pid(t, dir)
		busy := connect(t, p.URL())
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGKILL}[round]
		ended := make(chan error, 1)
		go func() {
			_, err := busy.Exec(t.Context(), "SELECT pg_sleep(60)") // left of the old server for a moment
			ended <- err
		}()
		if err := syscall.Kill(before, signal); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("the server's death went unnoticed")
		}
		successor(t, p, dir, before)
		if err := postgres.Wait(t.Context(), pool); err != nil { // its old connections are replaced
			t.Fatal(err)
		}
		if _, err := pool.Exec(t.Context(), "SELECT FROM kept"); err != nil {
			t.Error(err)
		}
	}
	stop(t, p)
	gone(t, dir)
}

func TestPrivateIsAdoptedWhileItRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	one := start(t, dir)
	server := pid(t, dir)
	two := start(t, dir)
	if pid(t, dir) != server || two.URL() != one.URL() {
		t.Errorf("process %d at %s, before %d at %s", pid(t, dir), two.URL(), server, one.URL())
	}
	// One suite ends and takes the server with it; the other's runs on.
	stop(t, two)
	successor(t, one, dir, server)
	stop(t, one)
	gone(t, dir)
}

func TestPrivateStartedBySeveralAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	var all sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		all.Go(func() {
			p, err := postgres.StartPrivate(t.Context(), slog.New(slog.DiscardHandler), postgres.PrivateSettings{Dir: dir, Options: quick()})
			if err == nil {
				p.Release()
			}
			errs[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, dir))
	gone(t, dir)
}

// TestSuiteProcess is not a test: it is the process of a suite with a private server, for a test to kill.
func TestSuiteProcess(t *testing.T) {
	if flag.NArg() != 1 {
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if _, err := postgres.StartPrivate(t.Context(), log, postgres.PrivateSettings{Dir: flag.Arg(0), Options: quick()}); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	select {}
}

// suite starts such a process and returns it once its server answers.
func suite(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSuiteProcess$", "--", dir)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the suite's process says %q: %v", line, err)
	}
	return cmd
}

func TestPrivateOutlivesAKilledSuite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	killed := suite(t, dir)
	server := pid(t, dir)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	p := start(t, dir)
	if pid(t, dir) != server {
		t.Errorf("process %d, want the one left over, %d", pid(t, dir), server)
	}
	// It is supervised like one of our own.
	if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	successor(t, p, dir, server)
	stop(t, p)
	gone(t, dir)
}

func TestPrivateOverTheRemainsOfACrash(t *testing.T) {
	t.Parallel()
	parent := testkit.OpenDir(t)
	dir := filepath.Join(parent, "postgres")
	// A suite killed within initdb: data in the making, none complete.
	for _, remains := range []string{"init-123/base", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, remains), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "init-*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	// A machine that crashed: after its reboot the number of the server's process is another's, ours for example.
	file := filepath.Join(dir, "data", "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	_, rest, _ := strings.Cut(string(text), "\n")
	for name, stale := range map[string]string{
		"lives":  fmt.Sprintf("%d\n%s", os.Getpid(), rest),
		"is not": fmt.Sprintf("%d\n%s", 1<<22-1, rest),
		"none":   "",
	} {
		info, err := os.Stat(filepath.Join(dir, "data"))
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		for _, file := range []string{file, filepath.Join(dir, ".s.PGSQL.5432.lock")} {
			if err := os.WriteFile(file, []byte(stale), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		again, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir, Options: quick()})
		if err != nil {
			t.Fatalf("the process of the stale postmaster.pid %s: %v", name, err)
		}
		stop(t, again)
	}
}

func TestPrivateRefusesAFolderItsUserCannotEnter(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(testkit.OpenDir(t), "closed")
	mode := os.FileMode(0o700) // ours, and we are root
	if os.Geteuid() != 0 {
		mode = 0
	}
	if err := os.Mkdir(closed, mode); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: filepath.Join(closed, "data", "postgres")})
	if err == nil || !strings.Contains(err.Error(), closed+" ") && os.Geteuid() == 0 || !strings.Contains(err.Error(), closed) {
		t.Fatalf("error %v, want one which names %s", err, closed)
	}
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v is not about permission", err)
	}
}

func TestPrivateRefusesDataItCannotRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, text, want string }{
		"another release": {"PG_VERSION", "9\n", "written by PostgreSQL 9 "},
		"something else":  {"diary", "dear diary", "holds no PostgreSQL data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(testkit.OpenDir(t), "postgres")
			if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "data", test.file), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestPrivateShowsTheLogOfAServerThatDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	_, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{
		Dir:     dir,
		Options: map[string]string{"fsync": "off", "shared_buffers": "a lot"},
	})
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("error %v, want the server's own words", err)
	}
}

func TestPrivateInALongPathAndBesideAnother(t *testing.T) {
	t.Parallel()
	parent := testkit.OpenDir(t)
	var urls []string
	for _, name := range []string{strings.Repeat("long ", 20), "short, and not sweet"} {
		p := start(t, filepath.Join(parent, name, "postgres"))
		if _, err := connect(t, p.URL()).Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
			t.Fatal(err)
		}
		urls = append(urls, p.URL())
	}
	if urls[0] == urls[1] {
		t.Errorf("both at %s", urls[0])
	}
}

func TestPrivateStopsInTimeWhateverHappens(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	p := start(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that no time was left", err)
	}
	gone(t, dir)
}

func TestPrivateStartIsBoundByCtx(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // within initdb
	defer cancel()
	if _, err := postgres.StartPrivate(ctx, testkit.Logger(t), postgres.PrivateSettings{Dir: dir, Options: quick()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a half-made data folder")
	}
	start(t, dir)
}

func TestPrivateWithoutPrograms(t *testing.T) {
	t.Parallel()
	_, err := postgres.StartPrivate(t.Context(), slog.New(slog.DiscardHandler),
		postgres.PrivateSettings{Dir: filepath.Join(testkit.OpenDir(t), "postgres"), Programs: t.TempDir()})
	if !errors.Is(err, postgres.ErrNoServer) || !strings.Contains(err.Error(), "scripts/postgres.sh") {
		t.Errorf("error %v", err)
	}
}
