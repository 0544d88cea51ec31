package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// Owner is who may open a secret.
type Owner string

// The owners. Recovery is for the day when a key is lost: its identity belongs offline.
const (
	Introspection Owner = "introspection"
	Gateway       Owner = "gateway"
	Recovery      Owner = "recovery"
	// Both has no identity of its own: what is sealed to it, Introspection and Gateway can each open.
	Both Owner = "both"
)

// Files in the keys folder: <owner>.age holds an identity, <owner>.pub its recipient, fingerprint.key 32
// random bytes in hex.
const fingerprintFile = "fingerprint.key"

// Init makes what is missing in a keys folder: identities, recipients, the fingerprint key. What is there
// stays. Private files have mode 0600.
func Init(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keys folder: %w", err)
	}
	for _, owner := range []Owner{Introspection, Gateway, Recovery} {
		if err := initIdentity(dir, owner); err != nil {
			return err
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return writeNew(filepath.Join(dir, fingerprintFile), hex.EncodeToString(key)+"\n", 0o600)
}

func initIdentity(dir string, owner Owner) error {
	public := filepath.Join(dir, string(owner)+".pub")
	if _, err := os.Stat(public); err == nil {
		return nil // the identity may have been taken elsewhere, as recovery's should
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("make key of %s: %w", owner, err)
	}
	private := filepath.Join(dir, string(owner)+".age")
	if err := writeNew(private, identity.String()+"\n", 0o600); err != nil {
		return err
	}
	kept, err := ReadIdentity(private) // another process may have been first
	if err != nil {
		return err
	}
	return writeNew(public, kept.Recipient().String()+"\n", 0o644)
}

// writeNew writes a file unless it is there already; a reader sees all of it or nothing.
func writeNew(path, text string, mode os.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

// ReadIdentity reads an age X25519 identity from a file.
func ReadIdentity(path string) (*age.X25519Identity, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read key %s: not an age X25519 identity", path)
	}
	return identity, nil
}

// IdentityFile gives the file that holds an owner's identity.
func IdentityFile(dir string, owner Owner) string {
	return filepath.Join(dir, string(owner)+".age")
}

// readRecipient reads an owner's recipient.
func readRecipient(dir string, owner Owner) (*age.X25519Recipient, error) {
	path := filepath.Join(dir, string(owner)+".pub")
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	r, err := age.ParseX25519Recipient(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read key %s: not an age X25519 recipient", path) // it may be an identity put there by mistake
	}
	return r, nil
}

// Fingerprinter tells whether two secrets are the same without keeping either.
type Fingerprinter struct{ key []byte }

// ReadFingerprinter reads the installation's fingerprint key.
func ReadFingerprinter(dir string) (Fingerprinter, error) {
	path := filepath.Join(dir, fingerprintFile)
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return Fingerprinter{}, fmt.Errorf("read key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != sha256.Size {
		return Fingerprinter{}, fmt.Errorf("read key %s: not 32 bytes in hex", path)
	}
	return Fingerprinter{key: key}, nil
}

// Of gives the fingerprint of a secret: the first 16 bytes of HMAC-SHA256, hex.
func (f Fingerprinter) Of(value string) string {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
