package configlog

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// File keeps a Snapshot across a restart, so that a service can start while NATS is away. It is encrypted and
// authenticated (AES-256-GCM) under a key that only the service has: who can write the folder can lose the
// file or put back an earlier one, which says how old it is, but not forge it. It is safe for concurrent use.
type File struct {
	path string
	aead cipher.AEAD
}

// fileHeader begins every file; it names the format and is authenticated with it.
const fileHeader = "gatehouse snapshot 1\n"

// stored is what the file holds.
type stored struct {
	Sequence    uint64                `json:"sequence"`
	Hash        string                `json:"hash"`
	SavedAt     time.Time             `json:"saved_at"`
	HeardAt     time.Time             `json:"heard_at"`
	Config      Config                `json:"config"`
	AdminTokens map[string]AdminToken `json:"admin_tokens"`
	Extra       json.RawMessage       `json:"extra,omitempty"`
}

// NewFile gives the file at path, under a key derived from secret. What a Save left behind that was killed is
// removed.
func NewFile(path string, secret []byte) (*File, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "gatehouse snapshot file", 32)
	if err != nil {
		return nil, fmt.Errorf("snapshot file key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("snapshot file key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("snapshot file key: %w", err)
	}
	f := &File{path: path, aead: aead}
	f.sweep()
	return f, nil
}

// tempSuffix and some random digits are what the name of a file has while it is written.
const tempSuffix = ".new-"

func (f *File) sweep() {
	dir, prefix := filepath.Dir(f.path), filepath.Base(f.path)+tempSuffix
	entries, _ := os.ReadDir(dir) // no folder, nothing left
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // else it only takes up room
		}
	}
}

// Save writes a Snapshot, the time the log was last heard, and whatever the service wants beside it. The file
// is replaced as a whole.
func (f *File) Save(s *Snapshot, heardAt time.Time, extra any) error {
	more, err := json.Marshal(extra)
	if err != nil {
		return fmt.Errorf("snapshot file: %w", err)
	}
	plain, err := json.Marshal(stored{
		Sequence: s.State.Seq, Hash: s.State.Hash.String(), SavedAt: time.Now().UTC(), HeardAt: heardAt.UTC(),
		Config: s.Config, AdminTokens: s.AdminTokens, Extra: more,
	})
	if err != nil {
		return fmt.Errorf("snapshot file: %w", err)
	}
	sealed := f.aead.Seal([]byte(fileHeader), nil, plain, []byte(fileHeader)) //nolint:gosec // it makes the nonce itself
	if err := f.replace(sealed); err != nil {
		return fmt.Errorf("snapshot file: %w", err)
	}
	return nil
}

func (f *File) replace(data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+tempSuffix+"*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// syncFolder makes a new name in a folder outlast a loss of power.
func syncFolder(path string) error {
	dir, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Load reads what Save wrote: the Snapshot and when the log was last heard. No file gives nil and no error; a
// file that was altered, or written under another key, an error.
func (f *File) Load(extra any) (*Snapshot, time.Time, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("snapshot file: %w", err)
	}
	if len(data) < len(fileHeader) || string(data[:len(fileHeader)]) != fileHeader {
		return nil, time.Time{}, fmt.Errorf("snapshot file %s: not of this format", f.path)
	}
	plain, err := f.aead.Open(nil, nil, data[len(fileHeader):], []byte(fileHeader))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("snapshot file %s: altered, or written under another key: %w", f.path, err)
	}
	var s stored
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, time.Time{}, fmt.Errorf("snapshot file %s: %w", f.path, err)
	}
	hash, err := eventlog.ParseHash(s.Hash)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("snapshot file %s: %w", f.path, err)
	}
	if len(s.Extra) > 0 && extra != nil {
		if err := json.Unmarshal(s.Extra, extra); err != nil {
			return nil, time.Time{}, fmt.Errorf("snapshot file %s: %w", f.path, err)
		}
	}
	return &Snapshot{
		State:  eventlog.State{Seq: s.Sequence, Hash: hash},
		Folded: Folded{Config: s.Config, AdminTokens: s.AdminTokens},
	}, s.HeardAt, nil
}
