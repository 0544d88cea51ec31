package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

// home is what a gateway keeps on disk: its id, and the last good Snapshot with the sealed secrets it needs, so
// that a restart works while NATS is away.
type home struct {
	id       string
	identity *age.X25519Identity
	file     *configlog.File
}

// kept is what stands in the Snapshot file beside the Snapshot.
type kept struct {
	Sealed map[string][]byte `json:"sealed"`
}

// start is what a gateway begins with.
type start struct {
	snap    *configlog.Snapshot // nil: nothing was kept
	heardAt time.Time
}

func openHome(s Settings) (*home, error) {
	id, err := ID(s)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.DataDir, "gateway")
	keys := s.KeysDir
	if keys == "" {
		keys = filepath.Join(s.DataDir, "keys")
	}
	identity, err := secret.ReadIdentity(secret.IdentityFile(keys, secret.Gateway))
	if err != nil {
		return nil, fmt.Errorf("gateway's key (GATEHOUSE_KEYS_DIR): %w", err)
	}
	h := &home{id: id, identity: identity}
	h.file, err = configlog.NewFile(filepath.Join(dir, "snapshot"), []byte(identity.String()))
	return h, err
}

// ID gives a gateway's id: the one that its NATS key is for or that was set, or the one made at the first start.
func ID(s Settings) (string, error) {
	dir := filepath.Join(s.DataDir, "gateway")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("gateway's folder (GATEHOUSE_DATA_DIR): %w", err)
	}
	of := bus.GatewayOf(s.SeedFile)
	if of != "" && s.ID != "" && s.ID != of {
		return "", fmt.Errorf("GATEHOUSE_GATEWAY_ID is %q, but GATEHOUSE_NATS_SEED_FILE %s is the key of %q", s.ID, s.SeedFile, of)
	}
	return gatewayID(dir, cmp.Or(s.ID, of))
}

func gatewayID(dir, set string) (string, error) {
	valid := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // it is a token of NATS subjects
	if set != "" {
		if !valid.MatchString(set) {
			return "", fmt.Errorf("GATEHOUSE_GATEWAY_ID %q: letters, digits, - and _ only, at most 64", set)
		}
		return set, nil
	}
	path := filepath.Join(dir, "id")
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 { // empty: the machine lost power when it was made
		var raw [4]byte
		_, _ = rand.Read(raw[:]) // never fails
		text = []byte("gw-" + hex.EncodeToString(raw[:]))
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("gateway's id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !valid.MatchString(id) {
		return "", fmt.Errorf("gateway's id in %s is damaged: %q", path, id)
	}
	return id, nil
}

// load reads the Snapshot file. A file that cannot be trusted is not used, and said.
func (h *home) load(log *slog.Logger, opener *secret.Opener) start {
	var k kept
	snap, heardAt, err := h.file.Load(&k)
	if err != nil {
		log.LogAttrs(context.Background(), slog.LevelError, "Snapshot file not used", slog.Any("error", err))
		return start{}
	}
	opener.Remember(k.Sealed)
	return start{snap: snap, heardAt: heardAt}
}
