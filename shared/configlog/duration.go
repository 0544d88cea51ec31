package configlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time written as in Go, with days too: 90s, 10m, 365d, 1h30m.
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads what String writes, and anything Go's own parser takes. It does not mind a negative
// length: whoever has a use for the value says what makes sense.
func ParseDuration(s string) (Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		const most = (1<<63 - 1) / int64(day)
		if err != nil || n > most || n < -most {
			return 0, fmt.Errorf("not a number of days: %.40q", s)
		}
		return Duration(time.Duration(n) * day), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("not a length of time such as 90s, 10m or 365d: %.40q", s)
	}
	return Duration(d), nil
}

// String gives whole days as days, anything else as Go does but without what is zero at the end: 365d, 1h30m,
// 1m30s.
func (d Duration) String() string {
	t := time.Duration(d)
	if t != 0 && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Std gives the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
