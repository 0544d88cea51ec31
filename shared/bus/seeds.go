package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// SeedFile gives the file in a keys folder that holds the NKey seed of a NATS user.
func SeedFile(keysDir string, user topology.Service) string {
	return filepath.Join(keysDir, "nats", string(user)+".nk")
}

// GatewayOf gives the id of the gateway whose NKey seed a file holds, by the file's name; none: empty.
func GatewayOf(seedFile string) string {
	if id, ok := topology.GatewayID(topology.Service(strings.TrimSuffix(filepath.Base(seedFile), ".nk"))); ok {
		return id
	}
	return ""
}

// InitSeeds makes the NKey seeds that are missing in a keys folder, mode 0600: of each service, of the operator, and of
// the gateways given by their ids. It gives the public key of each, and of every gateway that had one before, for the
// server. It may be called by several processes at once.
func InitSeeds(keysDir string, gateways ...string) (map[topology.Service]string, error) {
	if err := os.MkdirAll(filepath.Join(keysDir, "nats"), 0o700); err != nil {
		return nil, fmt.Errorf("keys folder: %w", err)
	}
	users, err := usersOf(keysDir, gateways)
	if err != nil {
		return nil, err
	}
	public := map[topology.Service]string{}
	for _, u := range users {
		path := SeedFile(keysDir, u)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := makeSeed(path); err != nil {
				return nil, fmt.Errorf("NATS key of %s: %w", u, err)
			}
		}
		key, err := publicKey(path)
		if err != nil {
			return nil, fmt.Errorf("NATS key of %s: %w", u, err)
		}
		public[u] = key
	}
	return public, nil
}

// usersOf gives all who have, or are to have, a key in a folder.
func usersOf(keysDir string, gateways []string) ([]topology.Service, error) {
	users := slices.DeleteFunc(topology.Services(), func(s topology.Service) bool { return s == topology.Gateway })
	users = append(users, topology.Operator)
	for _, id := range gateways {
		if topology.Reserved(id) {
			return nil, fmt.Errorf("gateway id %q: the audit trail calls something else so", id)
		}
		if _, ok := topology.GatewayID(topology.GatewayUser(id)); !ok {
			return nil, fmt.Errorf("gateway id %q: letters, digits, - and _ only, at most 64", id)
		}
		users = append(users, topology.GatewayUser(id))
	}
	there, err := filepath.Glob(SeedFile(keysDir, topology.GatewayUser("*")))
	if err != nil {
		return nil, fmt.Errorf("keys folder: %w", err)
	}
	for _, path := range there {
		if id := GatewayOf(path); id != "" {
			users = append(users, topology.GatewayUser(id))
		}
	}
	return users, nil
}

// InitRoutes makes the file of a keys folder that lets the servers of a cluster join each other, mode 0600, with a new
// secret and the servers' addresses for each other. A file that is there stays as it is, with the addresses in it.
func InitRoutes(keysDir string, servers []string) error {
	path := filepath.Join(keysDir, "nats", "routes.conf")
	if err := writeOnce(path, topology.RoutesConf(rand.Text(), servers)); err != nil {
		return fmt.Errorf("routes of the NATS servers: %w", err)
	}
	return nil
}

func makeSeed(path string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	return writeOnce(path, string(seed)+"\n")
}

// writeOnce writes a file, unless it is there or another process was first; a reader sees all of it or nothing.
func writeOnce(path, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func publicKey(path string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(text))))
	if err != nil {
		return "", fmt.Errorf("%s holds no NKey seed: %w", path, err)
	}
	key, err := pair.PublicKey()
	if err == nil && !nkeys.IsValidPublicUserKey(key) {
		err = fmt.Errorf("%s holds the seed of something else than a user", path)
	}
	return key, err
}
