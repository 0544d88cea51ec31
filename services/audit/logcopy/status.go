package logcopy

import "sync"

// Status is how a copy fares.
type Status struct {
	// Sequence is that of the last commit that is copied.
	Sequence uint64 `json:"sequence"`
	// Lag counts the commits that are known and not copied.
	Lag uint64 `json:"lag"`
	// Trouble is why nothing is copied, or a sealed secret or a record of a commit waits; empty: all is well.
	Trouble string `json:"trouble,omitempty"`
}

type status struct {
	mu  sync.Mutex
	now Status
}

// Status tells how the copy fares; known is the sequence of the last commit anybody knows of.
func (c *Copy) Status(known uint64) Status {
	c.status.mu.Lock()
	defer c.status.mu.Unlock()
	now := c.status.now
	now.Lag = max(known, now.Sequence) - now.Sequence
	return now
}

// copied notes how far the log is copied; well: and that nothing about it waits.
func (s *status) copied(seq uint64, well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Sequence = seq
	if well {
		s.now.Trouble = ""
	}
}

// away notes why the log is not copied.
func (s *status) away(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Trouble = err.Error()
}
