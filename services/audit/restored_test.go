package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// copyStream gives a copy of the stream AUDIT as it is now.
func (w *world) copyStream(t testing.TB) string {
	t.Helper()
	w.nats.Stop()
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(filepath.Join(w.nats.Store(), topology.StreamAudit))); err != nil {
		t.Fatal(err)
	}
	w.nats.Start(t)
	return older
}

// restoreStream puts a copy in the place of the stream.
func (w *world) restoreStream(t testing.TB, older string) {
	t.Helper()
	w.nats.Stop()
	w.removeStream(t)
	if err := os.CopyFS(filepath.Join(w.nats.Store(), topology.StreamAudit), os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	w.nats.Start(t)
}

// A restored stream that was longer than the cursor again before anybody looked loses nothing either, whether its
// messages are purged once they are committed or not yet.
func TestRestoredStreamThatRegrew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Settings){"purged": func(*Settings) {}, "not purged": seldomPurged} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			in := w.start(t, change)
			w.publish(t, batch("gw1", 1, 1, 3))
			w.awaitCount(t, 3)
			in.stop()
			older := w.copyStream(t)
			in = w.start(t, change)
			w.publishRaw(t, "gw1", []byte("rubbish"))
			w.publish(t, batch("gw1", 1, 4, 4), batch("gw1", 1, 5, 5))
			w.awaitCount(t, 5)
			in.stop()
			w.restoreStream(t, older)
			w.publishRaw(t, "gw1", []byte("other rubbish")) // with the sequence of what was rejected
			for n := range uint64(5) {
				w.publish(t, batch("gw2", 1, n+1, n+1))
			}
			w.start(t, change)
			w.awaitCount(t, 10)
			w.exact(t)
			if n := row[int](t, w.url, `SELECT count(*) FROM audit.rejected`); n != 2 {
				t.Errorf("%d rejected, want both", n)
			}
			if n := row[int](t, w.url, `SELECT count(*) FROM audit.hole`); n != 0 {
				t.Errorf("%d holes", n)
			}
		})
	}
}

// A reader that asks for nothing while the server is away does not know that it was.
func TestStreamRestoredWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	older := w.copyStream(t)
	w.start(t, seldomPurged, func(s *Settings) { s.Intervals.Poll = time.Second })
	for n := range uint64(4) {
		w.publish(t, batch("gw1", 1, n+1, n+1))
	}
	w.awaitCount(t, 4)
	w.restoreStream(t, older)
	for n := range uint64(6) {
		w.publish(t, batch("gw2", 1, n+1, n+1))
	}
	w.awaitCount(t, 10)
	w.exact(t)
}

// Whoever starts again on a stream that is the same goes on in it, and does not read it anew.
func TestKnownStreamIsNotReadAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js := w.nats.JetStream(t, topology.Audit)
	for n := range uint64(3) { // nothing there, something not purged, all purged
		change := seldomPurged
		if n == 1 {
			change = func(*Settings) {}
		}
		in := w.start(t, change)
		w.publish(t, batch("gw1", 1, n*2+1, n*2+1), batch("gw1", 1, n*2+2, n*2+2))
		w.awaitCount(t, int64(n)*2+2)
		if got := in.metric(t, "gatehouse_audit_duplicate_records_total"); got != 0 {
			t.Errorf("start %d: %v records read again", n, got)
		}
		if n == 1 {
			await(t, "purged", func() bool {
				at, err := lookAt(t.Context(), js, time.Second)
				return err == nil && at.first > at.last
			})
		}
		in.stop()
	}
}

// As long as there is doubt, nothing is set back.
func TestDoubtComesBeforeReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 3))
	w.awaitCount(t, 3)
	in.stop()
	exec(t, w.url, `UPDATE audit.cursor SET last_seq = 50`)
	in = w.start(t, func(s *Settings) { s.Intervals.Doubt, s.Intervals.Drain = time.Hour, 10*time.Millisecond })
	await(t, "the doubt is told", func() bool { _, d := in.health(t); return strings.Contains(d.Stream, "restored") })
	in.stop()
	if n := row[int](t, w.url, `SELECT last_seq FROM audit.cursor`); n != 50 {
		t.Errorf("the cursor is at %d", n)
	}
}

// One answer from the past is outvoted by the next.
func TestAnswerFromThePast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, seldomPurged)
	w.publish(t, batch("gw1", 1, 1, 3))
	w.awaitCount(t, 3)
	in.stop()
	js := w.nats.JetStream(t, topology.Audit)
	now, err := lookAt(t.Context(), js, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{
		ingest: &ingest{js: js, every: Intervals{Doubt: 200 * time.Millisecond, Attempt: time.Second}, status: &status{}},
		ledger: ledger{incarnation: now.created, lastSeq: 1, lastHash: row[[]byte](t, w.url, `SELECT last_hash FROM audit.cursor`)},
	}
	past := now
	past.first, past.last = 1, 0
	if same, err := s.same(t.Context(), past); err != nil || same {
		t.Errorf("a stream without what was committed: same %t, %v", same, err)
	}
	if at, same, err := s.sure(t.Context(), past); err != nil || !same || at.last != 1 {
		t.Errorf("same %t, up to %d, %v", same, at.last, err)
	}
	s.ledger.lastHash = []byte("another message's")
	if _, same, err := s.sure(t.Context(), now); err != nil || same {
		t.Errorf("with another message at the cursor: same %t, %v", same, err)
	}
}
