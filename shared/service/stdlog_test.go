package service

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"
)

func TestWhatLibrariesQuoteIsNotLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	std := log.New(unquoted{slog.New(slog.NewTextHandler(&out, nil))}, "", 0)
	std.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "HTTP/1.1 400 Bad\r\nX-Asked: S3CRET\r\n", nil)
	if text := out.String(); strings.Contains(text, "S3CRET") || !strings.Contains(text, "Unsolicited response") {
		t.Error(text)
	}
}
