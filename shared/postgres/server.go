package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one running postmaster: our child, or one we adopted.
type server struct {
	cluster *cluster
	pid     int
	adopted bool
}

// postmaster is what a server writes about itself into postmaster.pid (PostgreSQL manual, 73.1; pidfile.h).
type postmaster struct {
	pid    int
	socket string // folder; empty while it starts
}

func (c *cluster) postmasterFile() string { return filepath.Join(c.data(), "postmaster.pid") }

func (c *cluster) readPostmaster() (postmaster, error) {
	text, err := os.ReadFile(c.postmasterFile())
	if err != nil {
		return postmaster{}, err
	}
	return parsePostmaster(string(text))
}

func parsePostmaster(text string) (postmaster, error) {
	lines := strings.Split(text, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return postmaster{}, errors.New("postmaster.pid names no process")
	}
	pm := postmaster{pid: pid}
	if len(lines) > 4 {
		pm.socket = lines[4]
	}
	return pm, nil
}

// isOurs tells whether the process that postmaster.pid names lives and is a server on our data, and not another one
// which got the number of one that died. A server's working directory is its data folder.
func (c *cluster) isOurs(pm postmaster) bool {
	if !alive(pm.pid) {
		return false
	}
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return true // no such system here: let PostgreSQL decide
	}
	return sameFile(fmt.Sprintf("/proc/%d/cwd", pm.pid), c.data())
}

// disown lets a server start over the postmaster.pid of one that is gone. PostgreSQL does so itself unless a process
// has that number now, or still, dead and not yet collected by its parent; so we put one into the file that no process
// ever has. The rest of it stays, because PostgreSQL finds the old server's shared memory by it and makes sure that
// nobody is left there.
func (c *cluster) disown(pm postmaster) error {
	if errors.Is(syscall.Kill(pm.pid, 0), syscall.ESRCH) {
		return nil
	}
	text, err := os.ReadFile(c.postmasterFile())
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	return os.WriteFile(c.postmasterFile(), []byte(strconv.Itoa(1<<31-1)+"\n"+rest), 0o600)
}

// start runs a server, which takes over the lock, and returns when it answers.
func (c *cluster) start(ctx context.Context, lock *os.File) (server, error) {
	if c.socket != c.dir {
		if err := privateFolder(c.socket, c.account); err != nil {
			return server{}, err
		}
	}
	// Nobody else uses this folder, so what a dead server left there is in the way only (see disown).
	if err := os.Remove(c.socketFile() + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return server{}, err
	}
	logFile, from, err := c.openLog()
	if err != nil {
		return server{}, err
	}
	defer func() { _ = logFile.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return server{}, err
	}
	defer func() { _ = null.Close() }()
	args := c.arguments()
	process, err := os.StartProcess(args[0], args, &os.ProcAttr{
		Dir:   c.dir,
		Env:   childEnv(),
		Files: []*os.File{null, logFile, logFile, lock},
		Sys:   c.account.sys(),
	})
	if err != nil {
		return server{}, c.account.explain(err, c.dir, c.programs.dir)
	}
	srv := server{cluster: c, pid: process.Pid}
	_ = process.Release() // collected by alive
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.answers(ctx)
		if err == nil {
			return srv, nil
		}
		if !srv.alive() {
			return server{}, fmt.Errorf("it ended instead of starting:\n%s", c.logTail(from))
		}
		select {
		case <-ctx.Done():
			halted, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return server{}, fmt.Errorf("it did not answer in time: %w", errors.Join(err, srv.stop(halted)))
		case <-tick.C:
		}
	}
}

// childEnv is all the environment the server's programs get: none of ours (PGDATA, PGOPTIONS, LC_*) may change them.
func childEnv() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

// openLog opens the server's log and tells where its next line starts.
func (c *cluster) openLog() (*os.File, int64, error) {
	if info, err := os.Stat(c.logFile()); err == nil && info.Size() > 16<<20 {
		if err := os.Rename(c.logFile(), c.logFile()+".1"); err != nil {
			return nil, 0, err
		}
	}
	file, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil {
		err = c.account.own(c.logFile())
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// logTail is the end of what the server wrote since it was started.
func (c *cluster) logTail(from int64) string {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text[min(from, int64(len(text))):]), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-6):], []byte("\n")))
}

// wait returns nil when the server has ended, or ctx's error.
func (s server) wait(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for s.alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// stop asks for a fast shutdown and waits for it. When ctx ends first it has the server drop everything at once.
func (s server) stop(ctx context.Context) error {
	if s.pid == 0 || !s.alive() {
		return nil
	}
	// Between a fast end and this line the number may have become another's.
	if pm, err := s.cluster.readPostmaster(); s.adopted && (err != nil || pm.pid != s.pid) {
		if errors.Is(err, fs.ErrNotExist) {
			return s.wait(ctx, 5*time.Millisecond)
		}
		return err
	}
	if err := syscall.Kill(s.pid, syscall.SIGINT); err != nil {
		return fmt.Errorf("signal process %d: %w", s.pid, err)
	}
	err := s.wait(ctx, 5*time.Millisecond)
	if err == nil {
		return nil
	}
	_ = syscall.Kill(s.pid, syscall.SIGQUIT) // gone meanwhile: then wait says so
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(fmt.Errorf("no fast shutdown in time: %w", err), s.wait(last, 5*time.Millisecond))
}

// alive tells whether the server runs, and collects it when it was our child and has ended.
func (s server) alive() bool {
	if !s.adopted {
		if got, err := syscall.Wait4(s.pid, nil, syscall.WNOHANG, nil); err == nil && got == s.pid {
			return false
		}
	}
	return alive(s.pid)
}

// alive tells whether a process runs. One that has ended and was not collected by its parent does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil { // no such system here, or gone since
		return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	// "4711 (postgres) Z 1 …": proc(5)
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(fields) > 0 && !slices.Contains([]string{"Z", "X"}, string(fields[0]))
}
