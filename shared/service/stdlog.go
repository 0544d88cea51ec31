package service

import (
	"bytes"
	"context"
	"log/slog"
)

// unquoted takes what libraries write to the standard library's own logger into a process's log, up to the first quotation
// mark: net/http quotes there what a server said unasked, and a server may repeat a token that it was asked about.
type unquoted struct{ log *slog.Logger }

// Write logs one line.
func (u unquoted) Write(line []byte) (int, error) {
	said, _, _ := bytes.Cut(line, []byte(`"`))
	u.log.LogAttrs(context.Background(), slog.LevelWarn, "a library said", slog.String("said", string(bytes.TrimSpace(said))))
	return len(line), nil
}
