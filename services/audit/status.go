package audit

import (
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/audit/logcopy"
	"github.com/gatehouse-suite/gatehouse/services/audit/retention"
)

// status is how the service fares, for health and metrics.
type status struct {
	mu        sync.Mutex
	role      string // starting, waiting, standby, active
	database  string // why the database cannot be used; empty: it can
	stream    string // why the stream cannot be read; empty: it can, or another instance reads it
	cursor    uint64 // sequence of the last message committed
	last      uint64 // of the stream
	committed time.Time
	tally
	copied func() (config, tokens logcopy.Status) // how the second copies of the logs fare
	kept   func() retention.View                  // how retention fares
}

// tally counts what is not as it should be.
type tally struct {
	open      int64 // holes that may be filled
	lost      int64 // holes that will not
	rejected  int64 // messages
	conflicts int64 // records
}

const (
	roleStarting = "starting"
	roleWaiting  = "waiting"
	roleStandby  = "standby"
	roleActive   = "active"
)

// detail is what /readyz shows.
type detail struct {
	Role           string         `json:"role"`
	Database       string         `json:"database,omitempty"`
	Stream         string         `json:"stream,omitempty"`
	Lag            uint64         `json:"lag"` // messages
	LastCommit     *time.Time     `json:"last_commit,omitempty"`
	OpenHoles      int64          `json:"open_holes"`
	LostHoles      int64          `json:"lost_holes"`
	RejectedEver   int64          `json:"rejected"`
	Conflicts      int64          `json:"conflicts"`
	ConfigFollowed any            `json:"config_log,omitempty"`
	ConfigCopy     logcopy.Status `json:"config_copy"`
	TokenCopy      logcopy.Status `json:"token_copy"`
	Retention      retention.View `json:"retention"`
}

func (s *status) databaseAway(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait()
	if !errors.Is(err, errFenced) {
		s.database = err.Error()
	}
	return err
}

func (s *status) streamAway(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait()
	s.stream = err.Error()
	return err
}

// wait leaves the role of starting to a service that never got further.
func (s *status) wait() {
	if s.role != roleStarting {
		s.role = roleWaiting
	}
}

func (s *status) databaseBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.database = ""
}

func (s *status) standBy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.database, s.stream = roleStandby, "", ""
}

func (s *status) begin(cursor, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role, s.database, s.stream, s.cursor, s.last = roleActive, "", "", cursor, last
}

// seen notes how far the stream goes. What it no longer holds was committed, also when the cursor was never read.
func (s *status) seen(at look) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.cursor = at.last, max(s.cursor, at.first-1)
}

func (s *status) stored(cursor uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor, s.committed = cursor, time.Now()
}

func (s *status) counted(n tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally = n
}

// view gives all of it at one moment.
func (s *status) view() detail {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := detail{
		Role: s.role, Database: s.database, Stream: s.stream,
		OpenHoles: s.open, LostHoles: s.lost, RejectedEver: s.rejected, Conflicts: s.conflicts,
	}
	if s.role != roleStandby && s.last > s.cursor {
		d.Lag = s.last - s.cursor
	}
	if s.role != roleStandby {
		d.ConfigCopy, d.TokenCopy = s.copied()
	}
	d.Retention = s.kept()
	if !s.committed.IsZero() {
		at := s.committed.UTC()
		d.LastCommit = &at
	}
	return d
}

// check is ready as long as searches can be answered: the database is there, and what it holds was once seen to be
// read from the stream or by another instance. A stream that is away since shows in the detail and the metrics.
func (s *status) check(config func() any) service.Check {
	d := s.view()
	d.ConfigFollowed = config()
	return service.Check{Ready: d.Database == "" && d.Role != roleStarting, Detail: d}
}

// active tells whether this instance reads the stream.
func (s *status) active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.role == roleActive
}
