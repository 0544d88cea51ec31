package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// initialise makes the data unless they are there. initdb writes elsewhere and the result gets its name last, so one
// that was interrupted is no data and is made again.
func (c *cluster) initialise(ctx context.Context) error {
	major, err := c.writtenBy()
	if err != nil || major != 0 {
		return err
	}
	leftovers, _ := filepath.Glob(filepath.Join(c.dir, "init-*")) // fails on a bad pattern only
	for _, leftover := range leftovers {
		_ = os.RemoveAll(leftover) // its initdb may still write for a moment: then the next start removes it
	}
	if err := os.Remove(c.data()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there and holds no PostgreSQL data; move it away: %w", c.data(), err)
	}
	fresh, err := os.MkdirTemp(c.dir, "init-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := c.account.own(fresh); err != nil {
		return err
	}
	if err := c.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		return err
	}
	return syncFolder(c.dir)
}

// initdb tries the locales from the best: sorting by code point is fast, the same on every machine, and does not change
// with the C library; PostgreSQL 17 and later have it built in, others take it from the system.
func (c *cluster) initdb(ctx context.Context, dir string) error {
	locales := [][]string{{"--locale=C.UTF-8"}, {"--locale=C"}}
	if c.programs.major >= 17 {
		builtin := []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"}
		locales = append([][]string{builtin}, locales...)
	}
	args := []string{
		"--pgdata=" + dir, "--username=" + databaseName, "--encoding=UTF8", "--data-checksums",
		"--auth-local=trust", "--auth-host=reject",
	}
	if c.options["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	var failed []error
	for _, locale := range locales {
		//nolint:gosec // the programs are found by programDirs, the arguments are ours
		cmd := exec.CommandContext(ctx, c.programs.path("initdb"), append(args, locale...)...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = c.dir, childEnv(), c.account.sys()
		cmd.WaitDelay = 2 * time.Second // a child of it may hold its output a little longer
		out, err := cmd.CombinedOutput()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if cmd.ProcessState == nil { // it never ran
			return c.account.explain(err, c.dir, c.programs.dir)
		}
		failed = append(failed, fmt.Errorf("initdb %s: %w:\n%s", strings.Join(locale, " "), err, strings.TrimSpace(string(out))))
	}
	return errors.Join(failed...)
}

// syncFolder makes a rename within it last through a crash of the machine.
func syncFolder(dir string) error {
	folder, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}
