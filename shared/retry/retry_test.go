package retry

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Pause{Longest: 300 * time.Millisecond}
		wait := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			p.Wait(t.Context())
			if took := time.Since(began); took < want/2 || took >= want*3/2 {
				t.Errorf("waits %s, not about %s", took, want)
			}
		}
		for _, ms := range []time.Duration{50, 100, 200, 300, 300} {
			wait(ms * time.Millisecond)
		}
		p.Reset()
		wait(50 * time.Millisecond)
	})
}

func TestPauseIsLoudOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Pause{Longest: time.Second}
		loud := 0
		for range 150 {
			if p.Level() == slog.LevelWarn {
				loud++
			}
			Sleep(t.Context(), time.Second)
		}
		if loud != 3 {
			t.Errorf("%d warnings in 150 s", loud)
		}
	})
}

func TestSleepEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Sleep(ctx, time.Hour)
	(&Pause{Longest: time.Hour, last: time.Hour}).Wait(ctx)
}
