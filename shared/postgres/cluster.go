package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is one data folder and how to run a server on it.
//
//	Dir/lock           held (flock) by whoever makes the data or starts the server, then by the server itself: it inherits
//	                   the lock, as do all its processes. So nobody starts a second one, not even from another
//	                   container, where the process number in postmaster.pid says nothing.
//	Dir/data           the data; there only when complete
//	Dir/init-*         data in the making
//	Dir/postgres.log   the server's log; at a start beyond 16 MiB it becomes postgres.log.1
//	Dir/.s.PGSQL.5432  the socket
type cluster struct {
	log      *slog.Logger
	dir      string // absolute, no links
	socket   string // the socket's folder; fixed once its address is given out
	fixed    bool
	programs programs
	account  account
	options  map[string]string
	timeout  time.Duration
}

func (c *cluster) data() string       { return filepath.Join(c.dir, "data") }
func (c *cluster) logFile() string    { return filepath.Join(c.dir, "postgres.log") }
func (c *cluster) socketFile() string { return socketIn(c.socket) }

// socketIn is the name that PostgreSQL gives to its socket in a folder.
func socketIn(folder string) string { return filepath.Join(folder, ".s.PGSQL."+strconv.Itoa(port)) }

// prepare makes the folder, and finds the account and the programs that fit what is in it.
func prepare(ctx context.Context, log *slog.Logger, s PrivateSettings) (*cluster, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return nil, err
	}
	acc, err := chooseAccount(s.User, filepath.Join(dir, "data"), dir)
	if err != nil {
		return nil, err
	}
	// The folders above are made so that the server's account may pass; what is ours in them has its own mode.
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil { //nolint:gosec // see above
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if err := privateFolder(dir, acc); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	c := &cluster{log: log, dir: dir, account: acc, options: s.Options, timeout: s.StartTimeout}
	major, err := c.writtenBy()
	if err != nil {
		return nil, err
	}
	if c.programs, err = findPrograms(ctx, s.Programs, major); err != nil {
		return nil, err
	}
	c.socket = socketFolder(dir)
	if c.socket != c.dir {
		log.Info("the data folder's path is too long for a socket; it is in another folder",
			slog.String("dir", dir), slog.String("folder", c.socket))
	}
	return c, nil
}

// privateFolder makes a folder that the account alone may enter, or checks that it is one.
func privateFolder(dir string, acc account) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		return acc.own(dir)
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Not through a link: the socket's folder is in one where anybody may put one.
	if info, err := os.Lstat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	uid, _, ok := owner(dir)
	if !ok {
		return fmt.Errorf("%s has no owner we can read", dir)
	}
	us := acc.uid
	if !acc.change {
		us = uint32(os.Geteuid()) //nolint:gosec // the kernel's are 32 bits
	}
	if uid != us && (uid != 0 || !acc.change) {
		return fmt.Errorf("%s belongs to user %s and PostgreSQL would run as user %s: start as that user, as root,"+
			" or choose another folder", dir, accountName(uid), accountName(us))
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder, to be entered
		return err
	}
	return acc.own(dir)
}

// writtenBy is the release that wrote the data, 0 when there are none.
func (c *cluster) writtenBy() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read PG_VERSION: %w", err)
	}
	return major, nil
}

// socketFolder is dir, or a short folder that belongs to it when a socket's path there would be longer than the 107
// bytes which fit into sockaddr_un (unix(7)), or when dir has a comma, which separates hosts in a URL.
func socketFolder(dir string) string {
	if len(socketIn(dir)) <= 107 && !strings.Contains(dir, ",") {
		return dir
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-pg-%x", sum[:8]))
}

// arguments are the server's. Memory is modest: it shares a machine with five services.
func (c *cluster) arguments() []string {
	conf := map[string]string{
		"cluster_name":                    "gatehouse",
		"max_connections":                 "50",
		"shared_buffers":                  "32MB",
		"work_mem":                        "4MB",
		"maintenance_work_mem":            "32MB",
		"max_wal_size":                    "512MB",
		"max_parallel_workers_per_gather": "0",
		"max_logical_replication_workers": "0",
		"jit":                             "off",
		"fsync":                           "on",
		"full_page_writes":                "on",
		"synchronous_commit":              "on",
		"log_checkpoints":                 "off",
		"log_line_prefix":                 "%m [%p] %a ",
		"log_timezone":                    "UTC",
		"timezone":                        "UTC",
	}
	maps.Copy(conf, c.options)
	conf["listen_addresses"] = ""
	conf["port"] = strconv.Itoa(port)
	conf["unix_socket_directories"] = `"` + strings.ReplaceAll(c.socket, `"`, `""`) + `"`
	conf["unix_socket_permissions"] = "0700"
	conf["logging_collector"] = "off"
	conf["log_destination"] = "stderr"
	args := []string{c.programs.path("postgres"), "-D", c.data()}
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		args = append(args, "-c", name+"="+conf[name])
	}
	return args
}

// errBusy is a reason to look again in a moment.
type errBusy struct{ why string }

func (e errBusy) Error() string { return e.why }

// up returns a server that answers: the one that runs, or a new one.
func (c *cluster) up(ctx context.Context) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		srv, err := c.adoptOrStart(ctx)
		var busy errBusy
		switch {
		case err == nil:
			if err = c.ensureDatabase(ctx); err != nil && !srv.adopted {
				stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				defer cancel()
				err = errors.Join(err, srv.stop(stopCtx))
			}
			return srv, err
		case !errors.As(err, &busy):
			return server{}, err
		}
		select {
		case <-ctx.Done():
			return server{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// adoptOrStart looks once. Error: errBusy while another starts or stops a server here.
func (c *cluster) adoptOrStart(ctx context.Context) (server, error) {
	lock, err := c.tryLock()
	if err != nil {
		return server{}, err
	}
	if lock == nil {
		return c.adopt(ctx)
	}
	defer func() { _ = lock.Close() }() // a server holds on to it
	// Nobody of ours runs. A server that someone started by hand may: it does not hold the lock.
	if pm, err := c.readPostmaster(); err == nil && c.isOurs(pm) {
		return c.adopt(ctx)
	} else if err == nil {
		if err := c.disown(pm); err != nil {
			return server{}, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(c.postmasterFile()); err != nil { // cut short by a crash of the machine
			return server{}, err
		}
	}
	if err := c.initialise(ctx); err != nil {
		return server{}, err
	}
	return c.start(ctx, lock)
}

// tryLock takes the lock, or returns nil when another holds it.
func (c *cluster) tryLock() (*os.File, error) {
	path := filepath.Join(c.dir, "lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // within our folder
	if err != nil {
		return nil, err
	}
	if err := c.account.own(path); err != nil {
		_ = lock.Close()
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	_ = lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// adopt returns the server that runs on our data, once it answers.
func (c *cluster) adopt(ctx context.Context) (server, error) {
	pm, err := c.readPostmaster()
	if err != nil {
		return server{}, errBusy{"another process starts it, or is left of it and still ends"}
	}
	if pm.socket != "" && !c.fixed {
		c.socket = pm.socket
	}
	if err := c.answers(ctx); err != nil {
		return server{}, errBusy{fmt.Sprintf("process %d runs on these data and does not answer: %v", pm.pid, err)}
	}
	return server{cluster: c, pid: pm.pid, adopted: true}, nil
}

// answers tells whether a server takes connections at our socket and runs on our data.
func (c *cluster) answers(ctx context.Context) error {
	return c.query(ctx, func(conn *pgx.Conn) error {
		var data string
		if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&data); err != nil {
			return err
		}
		if !sameFile(data, c.data()) {
			return fmt.Errorf("the server at this socket runs on %s", data)
		}
		return nil
	})
}

// ensureDatabase makes the database that URL names.
func (c *cluster) ensureDatabase(ctx context.Context) error {
	return c.query(ctx, func(conn *pgx.Conn) error {
		var exists bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", databaseName).Scan(&exists)
		if err != nil || exists {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName)
		if hasCode(err, "42P04", "23505") { // made at the same time by one who adopted this server
			return nil
		}
		return err
	})
}

func (c *cluster) query(ctx context.Context, use func(*pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return use(conn)
}

func sameFile(a, b string) bool {
	one, errOne := os.Stat(a)
	two, errTwo := os.Stat(b)
	return errOne == nil && errTwo == nil && os.SameFile(one, two)
}
