package reading

import "testing"

func TestTakesGzip(t *testing.T) {
	t.Parallel()
	for accepts, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP": true, "deflate, gzip;q=0.5": true, "*": true, "*;q=0.1, br": true, "gzip;q=1.0": true,
		"gzip;q=0": false, "gzip; q=0.000": false, "*, gzip;q=0": false, "gzip;q=0, *": false, "*;q=0": false, "identity": false, "x-gzipped": false, "gzip;q=x": false,
	} {
		if got := takesGzip(accepts); got != want {
			t.Errorf("%q: %v", accepts, got)
		}
	}
}
