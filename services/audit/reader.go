package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// look is a stream as its leader sees it.
type look struct {
	created     time.Time // to the microsecond, as Postgres keeps it
	first, last uint64    // first is last+1 when it is empty
	stream      jetstream.Stream
}

// lookAt asks for the stream AUDIT.
func lookAt(ctx context.Context, js jetstream.JetStream, attempt time.Duration) (look, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	s, err := js.Stream(ctx, topology.StreamAudit)
	if err != nil {
		return look{}, fmt.Errorf("look at stream %s: %w", topology.StreamAudit, err)
	}
	info := s.CachedInfo()
	// A stream that never held anything says that its first message is 0.
	return look{info.Created.Truncate(time.Microsecond), max(info.State.FirstSeq, 1), info.State.LastSeq, s}, nil
}

// reader reads the stream in order. It asks for messages by their sequence, so the server keeps nothing of it, and
// a request that fails is asked again.
type reader struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	log    *slog.Logger
	every  Intervals
	missed func(uint64) // messages the stream no longer has
	next   uint64       // sequence of the next message
	idle   bool         // there was no next message when it was asked for last
	doubts int          // requests in a row that did not have it, but later ones
}

const (
	readMessages = 512
	readBytes    = 4 << 20
	// confirm is how many requests must miss a message before it is called lost: another replica may have it.
	confirm = 3
)

// run sends what the stream holds to out until ctx ends; once draining is closed, only to the stream's end.
func (r *reader) run(ctx context.Context, draining <-chan struct{}, out chan<- []message) error {
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		msgs, err := r.batch(ctx)
		if err != nil {
			return err
		}
		if len(msgs) > 0 {
			select {
			case out <- msgs:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		select {
		case <-draining:
			return nil
		default:
		}
		idle.Reset(r.every.Poll)
		select {
		case <-idle.C:
		case <-draining:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errNoAnswer says that a request for messages was not answered.
var errNoAnswer = errors.New("no answer")

// batch reads some of the messages that follow; none when there are none yet.
func (r *reader) batch(ctx context.Context) (msgs []message, err error) {
	try, cancel := context.WithTimeout(ctx, r.every.Attempt)
	defer cancel()
	if r.idle {
		msgs, err = r.one(try)
	} else {
		msgs, err = r.many(try)
	}
	if err != nil {
		return nil, fmt.Errorf("read stream %s at %d: %w", topology.StreamAudit, r.next, err)
	}
	return msgs, nil
}

// one asks for the next message; of a stream that was empty it is cheaper than many.
func (r *reader) one(ctx context.Context) ([]message, error) {
	m, err := r.stream.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(topology.AuditIn("*")))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	msgs, _, err := r.take(ctx, nil, m)
	return msgs, err
}

func (r *reader) many(ctx context.Context) (msgs []message, err error) {
	raw, err := jetstreamext.GetBatch(ctx, r.js, topology.StreamAudit, readMessages,
		jetstreamext.GetBatchSeq(r.next), jetstreamext.GetBatchMaxBytes(readBytes))
	if err != nil {
		return nil, err
	}
	for m, err := range raw {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			r.idle = len(msgs) == 0
			return msgs, nil
		}
		if err != nil {
			return nil, err
		}
		var more bool
		if msgs, more, err = r.take(ctx, msgs, m); err != nil || !more {
			return msgs, err
		}
	}
	if len(msgs) == 0 {
		return nil, errors.Join(errNoAnswer, context.Cause(ctx))
	}
	return msgs, nil
}

// take adds a message if it is the next one, and tells whether the one behind it may be added too.
func (r *reader) take(ctx context.Context, msgs []message, m *jetstream.RawStreamMsg) (all []message, more bool, err error) {
	if m.Sequence != r.next {
		if len(msgs) > 0 {
			return msgs, false, nil // look into it with the next request
		}
		if skip, err := r.skip(ctx, m.Sequence); !skip {
			return nil, false, err
		}
	}
	r.next, r.doubts, r.idle = m.Sequence+1, 0, false
	return append(msgs, decode(m.Sequence, m.Time, m.Subject, m.Data)), true, nil
}

// skip decides whether to go on at found although messages before it are missing: when the stream no longer has
// them (purged by somebody else, or its storage is damaged). What was in them shows as a hole in the numbers of its
// gateway, and is asked for again; so going on loses nothing, and waiting would hold up everybody.
func (r *reader) skip(ctx context.Context, found uint64) (bool, error) {
	at, err := lookAt(ctx, r.js, r.every.Attempt)
	if err != nil {
		return false, err
	}
	r.doubts++
	if at.first <= r.next && r.doubts < confirm {
		return false, nil
	}
	r.log.LogAttrs(ctx, slog.LevelError, "messages are missing from the audit stream",
		slog.Uint64("from", r.next), slog.Uint64("to", found-1), slog.Uint64("stream_begins_at", at.first))
	r.missed(found - r.next)
	return true, nil
}
