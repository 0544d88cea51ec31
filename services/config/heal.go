package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/nats-io/nats.go/jetstream"
)

// healer mends a stream that ends before what this process has applied: cut by a crash, restored from an old
// backup, or made anew. The same bytes after the same State are the same commit, so putting the missing ones
// back is deterministic, and two instances that do it at once do it once.
type healer struct {
	log     *slog.Logger
	js      jetstream.JetStream
	stream  string
	events  *eventlog.Log
	since   func(uint64) []eventlog.Commit // every commit this process has applied, from a sequence on
	verdict atomic.Pointer[string]         // why the log cannot be healed
}

// newHealer gives the healer of the log in a stream.
func newHealer(log *slog.Logger, js jetstream.JetStream, stream eventlog.Stream, check time.Duration, since func(uint64) []eventlog.Commit) *healer {
	return &healer{
		log: log.With(slog.String("stream", stream.Name)), js: js, stream: stream.Name, since: since,
		events: eventlog.New(js, stream, eventlog.Options{Check: check}),
	}
}

// errNotBehind says that the stream holds all we have, so that whatever is wrong with it is not ours to mend.
var errNotBehind = errors.New("the stream is not behind")

// repair is what the follower asks when the stream does not continue what it has; it never has commits to
// offer, because nobody has more than this process. The follower looks at the stream again afterwards.
func (h *healer) repair(ctx context.Context, at eventlog.State) ([]eventlog.Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := h.js.Stream(ctx, h.stream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", h.stream, err)
	}
	last := stream.CachedInfo().State.LastSeq
	if last >= at.Seq {
		h.verdict.Store(nil)
		return nil, errNotBehind
	}
	h.log.LogAttrs(ctx, slog.LevelError, "the log was cut: putting back what is missing",
		slog.Uint64("stream_ends_at", last), slog.Uint64("applied", at.Seq))
	if err := h.putBack(ctx, last, at.Seq); err != nil {
		if anotherHistory(err) {
			text := fmt.Sprintf("the log has forked: what the stream holds up to %d is not what was applied here; "+
				"an operator must decide which history holds", last)
			h.verdict.Store(&text)
		}
		h.log.LogAttrs(ctx, slog.LevelError, "the log was not healed", slog.Any("error", err))
		return nil, err
	}
	h.verdict.Store(nil)
	h.log.LogAttrs(ctx, slog.LevelWarn, "the log is healed", slog.Uint64("from", last+1), slog.Uint64("to", at.Seq))
	return nil, nil
}

// anotherHistory tells whether the stream was found to hold commits that are not ours.
func anotherHistory(err error) bool {
	var conflict *eventlog.ConflictError
	var broken *eventlog.BrokenError
	return errors.As(err, &conflict) || (errors.As(err, &broken) && broken.Kind == eventlog.Forked)
}

// putBack appends what is behind last. Appending last itself again stores nothing: it proves that the stream
// holds a part of our history, and no other.
func (h *healer) putBack(ctx context.Context, last, to uint64) error {
	for _, c := range h.since(max(last, 1)) {
		if c.Seq > to {
			break
		}
		before := eventlog.State{Seq: c.Seq - 1, Hash: c.Prev}
		after, err := h.events.Append(ctx, before, c.Data)
		if err != nil {
			return fmt.Errorf("put back commit %d: %w", c.Seq, err)
		}
		if after != c.State {
			return fmt.Errorf("put back commit %d: it has become %s", c.Seq, after.Hash)
		}
	}
	return nil
}

// forked gives why the log cannot be healed, or nothing.
func (h *healer) forked() string {
	if text := h.verdict.Load(); text != nil {
		return *text
	}
	return ""
}
