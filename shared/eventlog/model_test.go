package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

func asBroken(err error, into **eventlog.BrokenError) bool { return errors.As(err, into) }

// model is what a log must hold, and writers who know older or newer States of it.
type model struct {
	log     *eventlog.Log
	states  []eventlog.State // by sequence; the first is the empty log
	data    [][]byte         // of each commit
	writers []writer
	nonce   int
}

type writer struct {
	at   eventlog.State
	last []byte // what it tried to append to before
	onto eventlog.State
}

// TestTheLogIsWhatWasAppended: whatever writers do with fresh, stale, wrong and repeated appends, the log is
// dense, holds each success once and nothing that was refused.
func TestTheLogIsWhatWasAppended(t *testing.T) {
	t.Parallel()
	js, stop, err := plainServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	logs := 0
	rapid.Check(t, func(rt *rapid.T) {
		logs++
		stream := eventlog.Stream{Name: fmt.Sprintf("LOG%d", logs), Subject: fmt.Sprintf("log.%d", logs), Live: fmt.Sprintf("live.%d", logs)}
		if err := makeStream(t.Context(), js, stream); err != nil {
			rt.Fatal(err)
		}
		opts := eventlog.Options{Check: 2 * time.Millisecond, Pause: time.Millisecond}
		m := &model{log: eventlog.New(js, stream, opts), states: make([]eventlog.State, 1), writers: make([]writer, 3)}
		for _, op := range rapid.SliceOfN(rapid.Custom(drawOp), 1, 40).Draw(rt, "ops") {
			if err := m.do(t.Context(), op); err != nil {
				rt.Fatal(err)
			}
		}
		if err := m.compare(t.Context()); err != nil {
			rt.Fatal(err)
		}
	})
}

// op is one thing that a writer does.
type op struct {
	writer int
	what   string
	back   int // how many commits
}

func drawOp(t *rapid.T) op {
	return op{
		writer: rapid.IntRange(0, 2).Draw(t, "writer"),
		what:   rapid.SampledFrom([]string{"append", "append", "again", "catch up", "catch up", "go back", "forget", "dream"}).Draw(t, "what"),
		back:   rapid.IntRange(0, 3).Draw(t, "back"),
	}
}

func (m *model) do(ctx context.Context, o op) error {
	w := &m.writers[o.writer]
	end := m.states[len(m.states)-1]
	switch o.what {
	case "append":
		m.nonce++
		w.onto, w.last = w.at, fmt.Appendf(nil, "commit %d", m.nonce)
		return m.append(ctx, w)
	case "again":
		if w.last == nil {
			return nil
		}
		return m.append(ctx, w)
	case "catch up":
		w.at = end
	case "go back":
		w.at = m.states[max(0, len(m.states)-1-o.back)]
	case "forget": // a history that never was, of a length the log has
		w.at = end
		w.at.Hash[o.back] ^= 1
	case "dream": // one that is longer
		w.at = end.Next([]byte("not there"))
	}
	return nil
}

// append compares what the log does with what it must do.
func (m *model) append(ctx context.Context, w *writer) error {
	at, next := w.onto, w.onto.Next(w.last)
	end := m.states[len(m.states)-1]
	got, err := m.log.Append(ctx, at, w.last)
	var conflict *eventlog.ConflictError
	var broken *eventlog.BrokenError
	var ok bool
	switch {
	case at.Seq > end.Seq:
		ok = asBroken(err, &broken) && broken.Kind == eventlog.Rewound && broken.Seq == end.Seq
	case at != m.states[at.Seq]:
		ok = asBroken(err, &broken) && broken.Kind == eventlog.Forked && broken.Seq == at.Seq
	case at == end:
		ok = err == nil && got == next
		m.states, m.data = append(m.states, next), append(m.data, w.last)
		w.at = next
	case m.states[next.Seq] == next:
		ok = err == nil && got == next
	default:
		ok = errors.As(err, &conflict) && conflict.At == at && conflict.Found == m.states[next.Seq]
	}
	if !ok {
		return fmt.Errorf("append %q after %v while the log ends at %v: %v, %w", w.last, at, end, got, err)
	}
	return nil
}

// compare reads the whole log.
func (m *model) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	got, err := read(ctx, m.log, eventlog.State{})
	if err != nil {
		return err
	}
	if len(got) != len(m.data) {
		return fmt.Errorf("the log holds %d commits, want %d", len(got), len(m.data))
	}
	for i, c := range got {
		if c.State != m.states[i+1] || string(c.Data) != string(m.data[i]) {
			return fmt.Errorf("commit %d is %v %q, want %v %q", i+1, c.State, c.Data, m.states[i+1], m.data[i])
		}
	}
	return nil
}
