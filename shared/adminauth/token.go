package adminauth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/opaque"
)

// Prefix begins every admin token that was issued, so that scanners of leaked secrets find it (package opaque).
const Prefix = "gha_"

// Digest is what is kept of a token: its SHA-256; zero for none.
type Digest [sha256.Size]byte

// Hash gives the Digest of a token.
func Hash(token string) Digest {
	if token == "" {
		return Digest{}
	}
	return sha256.Sum256([]byte(token))
}

// UnmarshalText takes a token, so that a setting of this type never holds the token itself.
func (d *Digest) UnmarshalText(token []byte) error {
	*d = Hash(string(token))
	return nil
}

// NewToken makes an admin token. It is shown once; only its Hash is kept.
func NewToken() string { return opaque.New(Prefix) }

// FirstToken gives the first admin's token as kept in a file (mode 0600), and makes both when the file is not
// there. made tells the caller to say, once, where it is.
func FirstToken(path string) (token string, made bool, err error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err == nil {
		token = strings.TrimSpace(string(text))
		if token == "" {
			return "", false, fmt.Errorf("first admin token: %s is empty", path)
		}
		return token, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("first admin token: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", false, fmt.Errorf("first admin token: %w", err)
	}
	token = NewToken()
	temp, err := os.CreateTemp(filepath.Dir(path), ".admin-token-*") // 0600
	if err != nil {
		return "", false, fmt.Errorf("first admin token: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(token + "\n")
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return "", false, fmt.Errorf("first admin token: %w", err)
	}
	if err := os.Link(temp.Name(), path); errors.Is(err, fs.ErrExist) {
		return FirstToken(path) // another process was first
	} else if err != nil {
		return "", false, fmt.Errorf("first admin token: %w", err)
	}
	return token, true, nil
}
