package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/retry"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
)

var (
	// errStreamChanged says that the stream is another one, or an older copy, than the one that was read.
	errStreamChanged = errors.New("the audit stream was made anew or restored")
	// errReconnected says that nobody watched the stream for a moment, in which it may have been restored.
	errReconnected = errors.New("the connection to NATS was made anew")
)

// reset has the stream read from its first message when it is not the one that was read up to the cursor.
func (s *session) reset(ctx context.Context, at look) (look, error) {
	at, same, err := s.sure(ctx, at)
	if err != nil {
		return at, s.status.streamAway(err)
	}
	if same {
		return at, nil
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "audit stream was restored from an older copy; it is read anew",
		slog.Uint64("cursor", s.ledger.lastSeq), slog.Uint64("from", at.first), slog.Uint64("to", at.last))
	if err := s.ledger.restart(ctx, at); err != nil {
		return at, s.status.databaseAway(fmt.Errorf("set back the cursor: %w", err))
	}
	return at, nil
}

// sure gives the stream as it is, and whether it is the one that was read up to the cursor. One that seems not to be
// is asked again for a while: a leader that has still to catch up, or that does not know yet that it is one no
// longer, answers from the past.
func (s *session) sure(ctx context.Context, at look) (_ look, same bool, err error) {
	for began := time.Now(); ; {
		if same, err = s.same(ctx, at); same || err != nil {
			return at, same, err
		}
		if time.Since(began) >= s.every.Doubt {
			return at, false, nil
		}
		_ = s.status.streamAway(errStreamChanged)
		retry.Sleep(ctx, s.every.Doubt/4)
		if at, err = lookAt(ctx, s.js, s.every.Attempt); err != nil {
			return at, false, err
		}
		if !at.created.Equal(s.ledger.incarnation) {
			return at, false, errStreamChanged // it has a cursor of its own
		}
	}
}

// same tells whether a stream looks like the one that was read up to the cursor: it has the same message there, or
// begins behind it, because what is committed is purged. A restored one never begins behind it: a copy holds all that
// was not committed when it was made.
func (s *session) same(ctx context.Context, at look) (bool, error) {
	if at.first > s.ledger.lastSeq || at.last < s.ledger.lastSeq {
		return at.first > s.ledger.lastSeq, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.every.Attempt)
	defer cancel()
	leader, err := s.js.Conn().JetStream() // the newer API asks any member when the stream allows it
	if err != nil {
		return false, err
	}
	raw, err := leader.GetMsg(topology.StreamAudit, s.ledger.lastSeq, nats.Context(ctx))
	if errors.Is(err, nats.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read stream %s at %d: %w", topology.StreamAudit, s.ledger.lastSeq, err)
	}
	there := message{stored: raw.Time, subject: raw.Subject, data: raw.Data}
	return bytes.Equal(there.hash(), s.ledger.lastHash), nil
}

// steady fails once the connection was made anew. A reader that waits for its next turn notices nothing when the
// server is back soon, and would go on in a restored stream; only a new session looks.
func (s *session) steady() error {
	if s.js.Conn().Stats().Reconnects != s.reconnects {
		return s.status.streamAway(errReconnected)
	}
	return nil
}
