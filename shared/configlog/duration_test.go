package configlog_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

func TestDurationsAreWrittenShort(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "1m30s": 90 * time.Second, "10m": 10 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second,
		"1d": 24 * time.Hour, "365d": 365 * 24 * time.Hour, "36h": 36 * time.Hour, "250ms": 250 * time.Millisecond, "-1d": -24 * time.Hour, "-1m": -time.Minute,
		"106751d": 106751 * 24 * time.Hour,
	} {
		if got := configlog.Duration(d).String(); got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
	}
}

func TestDurationsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.Int64Range(-106751, 106751).Draw(t, "days")
		for _, n := range []int64{rapid.Int64().Draw(t, "nanoseconds"), days * int64(24*time.Hour), math.MinInt64, math.MaxInt64} {
			d := configlog.Duration(n)
			data, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			var got configlog.Duration
			if err := json.Unmarshal(data, &got); err != nil || got != d {
				t.Fatalf("%d is written %s and read %d, %v", d, data, got, err)
			}
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"", "d", "0d", "1d", "-1d", "+1d", "1.5d", "1d1h", "365d", "106752d", "9999999999999999999d", "90s", "1h30m", "1e9s", "µs", "5", "-", "1h-1m"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := configlog.ParseDuration(s)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Fatalf("the error repeats what a stranger sent: %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := configlog.ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is %s, which is read as %s, %v", s, d, again, err)
		}
	})
}
