package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Answers of JetStream to a conditional publish that jetstream does not name.
const (
	codeWrongLastSequence jetstream.ErrorCode = 10071
	codeInProcess         jetstream.ErrorCode = 10158 // the same message id is being stored
	codeConcurrentWrite   jetstream.ErrorCode = 10164 // another conditional write is being stored
)

// Append stores data as the commit after at and gives the State behind it. It stores nothing unless the
// stream holds at: a State from a stranger (If-Match) is to be compared with one that was followed first,
// or it looks as if the stream were broken.
//
// data must be unlike any other commit (carry a request id): the same bytes after the same State are the same
// commit, so whoever repeats an append after ErrUnclear is told that it has landed. Append keeps trying until
// ctx ends. Errors:
//
//	*ConflictError  another commit follows at
//	*BrokenError    the stream does not hold at: Rewound, Gap, Altered, Forked; nothing was stored, unless it is
//	                ErrUnclear too
//	ErrTooLarge     more than MaxCommit, or than the server takes
//	ErrNotStored    ctx has ended; nothing was stored
//	ErrUnclear      ctx has ended, or the log was found broken after an attempt of which nothing is known; the
//	                commit may have been stored, or be so yet
//	of NATS         no retry mends it (no rights, a request that JetStream calls wrong); nothing was stored
func (l *Log) Append(ctx context.Context, at State, data []byte) (State, error) {
	if len(data) > MaxCommit {
		return State{}, ErrTooLarge
	}
	w := l.newWrite(at, data)
	var last error // that was not ctx's
	for {
		outcome, err := w.try(ctx)
		if ctx.Err() == nil {
			last = err
		}
		var broken *BrokenError
		if errors.As(err, &broken) {
			if !broken.mayPass() || w.lost.lasts(l.patience()) {
				return State{}, w.broken(broken)
			}
		} else {
			w.lost.clear()
		}
		switch {
		case outcome == landed:
			return w.next, nil
		case outcome == refused:
			return State{}, err
		case errors.Is(err, nats.ErrConnectionClosed): // for good
			return State{}, w.abandon(err)
		}
		if ended := pause(ctx, l.opts.Pause); ended != nil {
			return State{}, w.abandon(both(ended, last))
		}
	}
}

// write is one Append under way.
type write struct {
	log      *Log
	at, next State
	msg      *nats.Msg
	sent     bool // an attempt may have stored it, or may do so yet
	lost     doubt
}

func (l *Log) newWrite(at State, data []byte) *write {
	w := &write{log: l, at: at, next: at.Next(data), msg: nats.NewMsg(l.stream.Subject)}
	w.msg.Header.Set(HeaderPrev, at.Hash.String())
	w.msg.Header.Set(jetstream.MsgIDHeader, w.next.Hash.String())
	w.msg.Header.Set(jetstream.ExpectedStreamHeader, l.stream.Name)
	w.msg.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(at.Seq, 10))
	w.msg.Data = data
	return w
}

func (w *write) abandon(err error) error {
	why := ErrNotStored
	if w.sent {
		why = ErrUnclear
	}
	return fmt.Errorf("append after %d: %w: %w", w.at.Seq, why, err)
}

// broken says that the log is broken, and that it is unclear whether our commit is in it once it was sent.
func (w *write) broken(err *BrokenError) error {
	if !w.sent {
		return err
	}
	return w.abandon(err)
}

type outcome int

const (
	again   outcome = iota // nothing is decided yet
	landed                 // our commit is stored
	refused                // it is not, and never will be
)

// try publishes once and finds out what became of it.
//
// That the stream holds at is read before, not asked for with the header Nats-Expected-Last-Msg-Id: each
// replica checks that one by itself, and in nats-server 2.15.2 one that was caught up by another does not know
// the last id (processCatchupMsg), refuses what the others store and falls out of the group. Tried on R3: "last
// msgid mismatch … critical write error". In the moment between reading and publishing only a restored disk
// could exchange the history, and followers would find it.
func (w *write) try(ctx context.Context) (outcome, error) {
	if err := ctx.Err(); err != nil {
		return again, err
	}
	if err := w.log.holds(ctx, w.at); err != nil {
		return again, err
	}
	var ack struct {
		answer
		Seq       uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
	}
	err := w.log.ask(ctx, w.msg, &ack)
	if err == nil && ack.Seq == w.next.Seq && !ack.Duplicate {
		return landed, nil
	}
	w.sent = w.sent || !notStored(err)
	if !w.sent && final(err) {
		if errors.Is(err, nats.ErrMaxPayload) {
			return refused, fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return refused, fmt.Errorf("append to %s: %w", w.log.stream.Name, err)
	}
	return w.settle(ctx, err)
}

// notStored tells of an attempt's error whether that attempt certainly stored nothing, now or later.
func notStored(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return !contested(api)
	}
	return errors.Is(err, errAway) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrReconnectBufExceeded) || final(err)
}

// final tells of an attempt's error whether any other will end alike. What JetStream calls the server's fault
// (5xx: no leader, no memory, stream full) may pass.
func final(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return !contested(api) && api.Code < http.StatusInternalServerError && api.Code != http.StatusTooManyRequests
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, errDenied)
}

// contested tells whether an answer says no more than that something is stored, or being stored, where our
// commit was to go. It may be our commit: by an earlier attempt or, while two servers both take themselves
// for the leader, by the other one in this very attempt.
func contested(err *jetstream.APIError) bool {
	switch err.ErrorCode {
	case codeWrongLastSequence, codeInProcess, codeConcurrentWrite:
		return true
	default:
		return false
	}
}

// settle finds out by reading whether the commit has landed: a lost acknowledgement, a duplicate and a
// conflict look alike until then.
func (w *write) settle(ctx context.Context, cause error) (outcome, error) {
	found, err := w.log.readLeader(ctx, w.next.Seq)
	var noCommit *unreadable
	switch {
	case err == nil && found.State == w.next:
		return landed, nil
	case err == nil:
		if broken := found.follows(w.at); broken != nil {
			return refused, broken
		}
		return refused, &ConflictError{At: w.at, Found: found.State}
	case errors.As(err, &noCommit):
		return refused, &BrokenError{Kind: Altered, At: w.at, Seq: w.next.Seq, Detail: err.Error()}
	case !errors.Is(err, errNoMessage):
		return again, both(cause, err)
	}
	// Nothing there: it may still be on its way, or another's, or what was there is lost.
	seen, err := w.log.look(ctx)
	if err == nil && seen.last >= w.next.Seq {
		return again, &BrokenError{Kind: Gap, At: w.at, Seq: w.next.Seq, Detail: fmt.Sprintf("the stream ends at %d", seen.last)}
	}
	return again, both(cause, err)
}
