package testkit

import (
	"io"
	"log/slog"
	"sync"
	"testing"
)

// Logger writes warnings and worse to the test's own log, and nothing once the test has ended.
func Logger(t testing.TB) *slog.Logger {
	w := &testLog{w: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testLog struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return len(p), nil
	}
	return l.w.Write(p)
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = nil
}
