package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
)

// Settings of an audit process.
type Settings struct {
	// DatabaseURL is the Postgres everything is kept in, as libpq takes it.
	DatabaseURL string `env:"DATABASE_URL"`
	// Listen is where searches are answered.
	Listen string `env:"AUDIT_LISTEN" envDefault:"127.0.0.1:8083"`
	// AdminToken is the first admin's token; empty: what the suite wrote to DataDir/admin-token, if it did.
	AdminToken string `env:"ADMIN_TOKEN"`
	// SignInEvery is after how long an admin who goes on is recorded as signing in again; default 15 min, negative:
	// never.
	SignInEvery time.Duration `env:"ADMIN_SIGN_IN_EVERY"`
	// DataDir is where admin-token is looked for. Nothing is written there.
	DataDir string `env:"DATA_DIR" envDefault:"data"`
	// SearchTimeout bounds one statement of a search in the database.
	SearchTimeout time.Duration `env:"AUDIT_SEARCH_TIMEOUT" envDefault:"5s"`
	// Searches is how many may run at once; more are answered 429.
	Searches int32 `env:"AUDIT_SEARCHES" envDefault:"4"`
	// Exports is how many exports may run at once.
	Exports int32 `env:"AUDIT_EXPORTS" envDefault:"2"`
	// PartitionRows is how many calls a partition of audit.call gets. It may change at any time.
	PartitionRows int64 `env:"AUDIT_PARTITION_ROWS" envDefault:"1000000"`
	bus.Settings

	// Listener replaces Listen.
	Listener net.Listener `env:"-"`
	// Intervals are for tests to shorten.
	Intervals Intervals `env:"-"`
}

// Intervals say how often and how long; zero means the default.
type Intervals struct {
	// Poll is how long to wait before an empty stream is asked again; default 20 ms.
	Poll time.Duration
	// Gather is how long rows are collected for one transaction; default 50 ms.
	Gather time.Duration
	// Check is how often the stream's identity is looked at, and the stream purged; default 1 s.
	Check time.Duration
	// Doubt is how long a stream must seem to be restored from an older copy before that is believed; longer than a
	// NATS server takes itself for the leader without its followers, 10 s. Default 12 s.
	Doubt time.Duration
	// Marks is how often every gateway is told again what is committed; default 5 s.
	Marks time.Duration
	// Standby is how often to try to become the active consumer; default 1 s.
	Standby time.Duration
	// Retry is the longest pause before what was away is tried again; default 2 s.
	Retry time.Duration
	// Attempt bounds a request to NATS; default 2 s.
	Attempt time.Duration
	// Transaction bounds a transaction, its statements and the wait for its locks; default 30 s.
	Transaction time.Duration
	// Drain is how long to go on with what the stream still holds once the process is told to end; default 5 s.
	Drain time.Duration
	// Search is how long a search goes on to the next partition; default 2 s.
	Search time.Duration
	// Export is how long an export waits for its client to take a page, and for a database that is away; default 30 s.
	Export time.Duration
	// Seal is how often to look for a full partition to index; default 5 s.
	Seal time.Duration
	// Log is how often the configuration log is held against what we have of it; default 1 s.
	Log time.Duration
	// Retention is how often to look whether a run of retention is due; default 10 s.
	Retention time.Duration
	// Resend is how long to wait for a record of a commit to be in the trail before it is sent again; default 1 min.
	Resend time.Duration
}

func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{
		{&s.SearchTimeout, 5 * time.Second},
		{&s.Intervals.Poll, 20 * time.Millisecond},
		{&s.Intervals.Gather, 50 * time.Millisecond},
		{&s.Intervals.Check, time.Second},
		{&s.Intervals.Doubt, 12 * time.Second},
		{&s.Intervals.Marks, 5 * time.Second},
		{&s.Intervals.Standby, time.Second},
		{&s.Intervals.Retry, 2 * time.Second},
		{&s.Intervals.Attempt, 2 * time.Second},
		{&s.Intervals.Transaction, 30 * time.Second},
		{&s.Intervals.Drain, 5 * time.Second},
		{&s.Intervals.Search, 2 * time.Second},
		{&s.Intervals.Export, 30 * time.Second},
		{&s.Intervals.Seal, 5 * time.Second},
		{&s.Intervals.Log, time.Second},
		{&s.Intervals.Resend, time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.zero
		}
	}
	if s.Searches <= 0 {
		s.Searches = 4
	}
	if s.Exports <= 0 {
		s.Exports = 2
	}
	if s.PartitionRows <= 0 {
		s.PartitionRows = 1_000_000
	}
	return s
}

// adminToken gives the first admin's token; empty: there is none.
func (s Settings) adminToken() (string, error) {
	if s.AdminToken != "" || s.DataDir == "" {
		return s.AdminToken, nil
	}
	text, err := os.ReadFile(filepath.Join(s.DataDir, "admin-token"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("first admin's token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
