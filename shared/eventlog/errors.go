package eventlog

import (
	"errors"
	"fmt"
)

// ErrUnclear is returned by Append when the context ended, or the log broke, before the outcome was known: the commit may have
// landed. Whoever follows the log will see it if it has.
var ErrUnclear = errors.New("outcome of the append is unclear")

// ErrNotStored is returned by Append when the context ended and no attempt can have stored anything.
var ErrNotStored = errors.New("nothing was stored")

// ErrTooLarge is returned by Append for more than MaxCommit bytes.
var ErrTooLarge = fmt.Errorf("commit larger than %d KiB", MaxCommit>>10)

// MaxCommit is the largest commit in bytes; a NATS message may have 1 MiB with its headers.
const MaxCommit = 900 << 10

// ConflictError is returned by Append when another commit already follows the State it was told. Nothing was stored.
type ConflictError struct {
	// At is what the append was to follow.
	At State
	// Found is the commit that follows it instead.
	Found State
}

// Error names both.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("append after %d: commit %d is another one (%s)", e.At.Seq, e.Found.Seq, e.Found.Hash)
}

// Kind says in which way a log is broken.
type Kind string

// The ways a log breaks.
const (
	Gap     Kind = "gap"     // a commit is missing
	Altered Kind = "altered" // a commit's bytes are not those that were stored
	Rewound Kind = "rewound" // the stream ends before what was already applied
	Forked  Kind = "forked"  // the stream holds another history
)

// BrokenError is returned by Follow, Append and Verify when the stream does not continue the history it is
// held against.
type BrokenError struct {
	Kind Kind
	// At is the last good State.
	At State
	// Seq is the sequence at which it does not fit.
	Seq    uint64
	Detail string
}

// Error names the kind, the place and the last good State.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("log %s at %d (last good %d): %s", e.Kind, e.Seq, e.At.Seq, e.Detail)
}

// mayPass tells whether the fault may be the servers' state of the moment: see doubt.
func (e *BrokenError) mayPass() bool { return e.Kind == Gap || e.Kind == Rewound }

// PoisonError is returned by Follow when the caller could not apply a commit.
type PoisonError struct {
	// Seq is the commit's sequence.
	Seq uint64
	Err error
}

// Error names the commit.
func (e *PoisonError) Error() string { return fmt.Sprintf("apply commit %d: %v", e.Seq, e.Err) }

// Unwrap gives what the caller said.
func (e *PoisonError) Unwrap() error { return e.Err }

// both is errors.Join on one line.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return fmt.Errorf("%w; %w", a, b)
	}
}
