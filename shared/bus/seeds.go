package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// SeedFile gives the file in a keys folder that holds the NKey seed of a service's NATS user.
func SeedFile(keysDir string, service topology.Service) string {
	return filepath.Join(keysDir, "nats", string(service)+".nk")
}

// InitSeeds makes the NKey seeds that are missing in a keys folder, mode 0600, and gives the public key of
// each service, for the server.
func InitSeeds(keysDir string) (map[topology.Service]string, error) {
	if err := os.MkdirAll(filepath.Join(keysDir, "nats"), 0o700); err != nil {
		return nil, fmt.Errorf("keys folder: %w", err)
	}
	public := map[topology.Service]string{}
	for _, s := range topology.Services() {
		key, err := seed(SeedFile(keysDir, s))
		if err != nil {
			return nil, fmt.Errorf("NATS key of %s: %w", s, err)
		}
		public[s] = key
	}
	return public, nil
}

func seed(path string) (public string, err error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		var pair nkeys.KeyPair
		if pair, err = nkeys.CreateUser(); err != nil {
			return "", err
		}
		if text, err = pair.Seed(); err != nil {
			return "", err
		}
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(text))))
	if err != nil {
		return "", fmt.Errorf("%s holds no NKey seed: %w", path, err)
	}
	return pair.PublicKey()
}
