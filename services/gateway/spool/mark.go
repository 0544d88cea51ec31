package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
)

// mark is what is known of the spool beside what is in its files. It is written after the fact: when it is lost or late, records
// are shipped again, which does no harm.
type mark struct {
	// Gateway is whose records these are.
	Gateway string `json:"gateway"`
	// Shipped is the place before which the stream has everything.
	Shipped uint64 `json:"shipped"`
	// Committed has the last number that Postgres has, by epoch.
	Committed map[uint64]uint64 `json:"committed"`
	// Epoch and Hash are where the chain goes on when the files are empty.
	Epoch uint64 `json:"epoch"`
	Hash  []byte `json:"hash"`
}

// MarkFile is the file by which the folder of a spool is known.
const MarkFile = "mark.json"

// readMark gives the zero mark when there is none or it is damaged, as a loss of power may leave it.
func readMark(dir string) (mark, error) {
	m := mark{Committed: map[uint64]uint64{}}
	text, err := os.ReadFile(filepath.Clean(filepath.Join(dir, MarkFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if json.Unmarshal(text, &m) != nil || m.Epoch > 0 && len(m.Hash) != len(audittrail.Hash{}) || m.Committed == nil {
		return mark{Committed: map[uint64]uint64{}}, nil
	}
	return m, nil
}

func (m *mark) write(dir string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the mark: %w", err)
	}
	path := filepath.Join(dir, MarkFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	if err := syncFile(path + ".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
