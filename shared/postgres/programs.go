package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// ErrNoServer says that this machine has no PostgreSQL server.
var ErrNoServer = errors.New("no PostgreSQL server (initdb, postgres) on this machine: run scripts/postgres.sh," +
	" or give the URL of a database")

// programs are the server's programs of one release.
type programs struct {
	dir   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// Major is the newest major release of the PostgreSQL server on this machine, such as 15. Error: ErrNoServer.
func Major(ctx context.Context) (int, error) {
	p, err := findPrograms(ctx, "", 0)
	return p.major, err
}

// findPrograms returns the newest release on this machine, or the one in dir when that is given. want is the release
// that wrote the data, 0 for none yet: data are read by their own release only.
func findPrograms(ctx context.Context, dir string, want int) (programs, error) {
	var best programs
	var broken error
	for _, dir := range programDirs(dir) {
		major, err := majorOf(ctx, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			broken = err
		case major == want:
			return programs{dir, major}, nil
		case major > best.major:
			best = programs{dir, major}
		}
	}
	switch {
	case best.major == 0 && broken != nil:
		return programs{}, broken
	case best.major == 0:
		return programs{}, ErrNoServer
	case want != 0:
		return programs{}, fmt.Errorf("the data were written by PostgreSQL %d and this machine has PostgreSQL %d:"+
			" install release %[1]d, or move the data with pg_upgrade", want, best.major)
	default:
		return best, nil
	}
}

// programDirs are the folders where packages put the server, PATH's last.
func programDirs(only string) []string {
	if only != "" {
		return []string{only}
	}
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // the makers' RPMs
		"/opt/homebrew/opt/postgresql@*/bin", // macOS
		"/usr/local/opt/postgresql@*/bin",    // macOS on Intel
		"/usr/libexec/postgresql*",           // Alpine
	} {
		found, _ := filepath.Glob(pattern) // fails on a bad pattern only
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

// majorOf asks the programs in dir for their release. Error: fs.ErrNotExist when one is missing.
func majorOf(ctx context.Context, dir string) (int, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0, fs.ErrNotExist
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version") //nolint:gosec // found by programDirs
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", cmd.Path, err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "18beta1"
	found := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%s says %q for its version", cmd.Path, strings.TrimSpace(string(out)))
	}
	return strconv.Atoi(string(found[1]))
}
