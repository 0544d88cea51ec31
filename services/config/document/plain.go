package document

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Plain is the value of a secret on its way from a document to the sealer. It cannot be shown by accident: it
// is held by a function, so that even reflection finds only a pointer, and every formatter and encoder is told
// so.
type Plain struct{ reveal func() string }

const hidden = "[secret]"

func newPlain(value string) Plain { return Plain{reveal: func() string { return value }} }

// Reveal gives the value; only who seals it, fingerprints it or checks its form asks.
func (p Plain) Reveal() string {
	if p.reveal == nil {
		return ""
	}
	return p.reveal()
}

// Format answers every verb alike.
func (p Plain) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// String answers [secret].
func (p Plain) String() string { return hidden }

// LogValue answers [secret].
func (p Plain) LogValue() slog.Value { return slog.StringValue(hidden) }

var errPlain = errors.New("a secret's value is never encoded")

// MarshalText refuses, for encoding/json, YAML and all others that ask for it.
func (p Plain) MarshalText() ([]byte, error) { return nil, errPlain }
