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
	first, last uint64
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
	return look{info.Created.Truncate(time.Microsecond), info.State.FirstSeq, info.State.LastSeq, s}, nil
}

// reader reads the stream in order. It asks for messages by their sequence, so the server keeps nothing of it, and
// a request that fails is asked again.
type reader struct {
	js     jetstream.JetStream
	log    *slog.Logger
	every  Intervals
	missed func(uint64) // messages the stream no longer has
	next   uint64       // sequence of the next message
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
func (r *reader) batch(ctx context.Context) ([]message, error) {
	try, cancel := context.WithTimeout(ctx, r.every.Attempt)
	defer cancel()
	raw, err := jetstreamext.GetBatch(try, r.js, topology.StreamAudit, readMessages,
		jetstreamext.GetBatchSeq(r.next), jetstreamext.GetBatchMaxBytes(readBytes))
	if err != nil {
		return nil, fmt.Errorf("read stream %s at %d: %w", topology.StreamAudit, r.next, err)
	}
	var msgs []message
	for m, err := range raw {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages):
			return msgs, nil
		case err != nil:
			return nil, fmt.Errorf("read stream %s at %d: %w", topology.StreamAudit, r.next, err)
		case m.Sequence != r.next && len(msgs) > 0:
			return msgs, nil // look into it with the next request
		case m.Sequence != r.next:
			if skip, err := r.skip(ctx, m.Sequence); !skip {
				return nil, err
			}
		}
		msgs = append(msgs, decode(m.Sequence, m.Subject, m.Data))
		r.next, r.doubts = m.Sequence+1, 0
	}
	if len(msgs) == 0 {
		return nil, fmt.Errorf("read stream %s at %d: %w", topology.StreamAudit, r.next, errors.Join(errNoAnswer, context.Cause(ctx)))
	}
	return msgs, nil
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
