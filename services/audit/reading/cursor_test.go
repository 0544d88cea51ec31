package reading

import (
	"errors"
	"math"
	"testing"
)

func FuzzCursor(f *testing.F) {
	for _, p := range []position{{}, {id: 1}, {id: math.MaxInt64, search: [8]byte{1, 2, 3}}} {
		f.Add(p.encode())
	}
	for _, text := range []string{"", "abc", "AQ", "\n", "AQAAAAAAAAABAAAAAAAAAAAAAAAAAA\n", "////////////////////////////////", "ÿ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := decodeCursor(text)
		if err != nil {
			if !errors.Is(err, errCursor) || p != (position{}) {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		if p.encode() != text || p.id < 0 {
			t.Fatalf("%q is %+v is %q", text, p, p.encode())
		}
	})
}

// A cursor that was mistyped or cut is refused, whichever character it was.
func TestCursorChecksum(t *testing.T) {
	t.Parallel()
	good := position{id: 123456789, search: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}.encode()
	if p, err := decodeCursor(good); err != nil || p.id != 123456789 {
		t.Fatal(p, err)
	}
	for i := range good {
		for _, c := range "AZaz09-_" {
			bad := good[:i] + string(c) + good[i+1:]
			if _, err := decodeCursor(bad); bad != good && err == nil {
				t.Errorf("%s passes for %s", bad, good)
			}
		}
		if _, err := decodeCursor(good[:i]); err == nil {
			t.Errorf("%s passes", good[:i])
		}
	}
}
