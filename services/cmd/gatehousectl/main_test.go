package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v4"
)

// madeKeys gives a folder as an operator gets it.
func madeKeys(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	var said strings.Builder
	if code := run([]string{"keys", "init", dir, "gateway-1"}, nil, &said, &said); code != 0 {
		t.Fatalf("exit code %d: %s", code, said.String())
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatLetsServersInIsSecretAndStays(t *testing.T) {
	t.Parallel()
	dir := madeKeys(t)
	path := filepath.Join(dir, "nats", "routes.conf")
	before := read(t, path)
	if err := initKeys(dir, nil); err != nil || read(t, path) != before {
		t.Errorf("%v; made anew: %t", err, read(t, path) != before)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if read(t, filepath.Join(madeKeys(t), "nats", "routes.conf")) == before {
		t.Error("two installations have the same secret")
	}
}

func TestTheServersOfTheClusterAskForASecretAndForKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(madeKeys(t), "nats")
	conf := filepath.Join(dir, "nats.conf")                                     // beside what it includes
	text := "NATS_SERVER_NAME: nats-1\n" + read(t, "../../../deploy/nats.conf") // which is in its environment
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if opts.ServerName != "nats-1" {
		t.Errorf("named %q: a name that comes by the command line is lost by a reload, which then fails", opts.ServerName)
	}
	if opts.Cluster.Username == "" || len(opts.Cluster.Password) < 26 || len(opts.Routes) != 3 {
		t.Errorf("anybody joins: user %q, routes %d", opts.Cluster.Username, len(opts.Routes))
	}
	for _, r := range opts.Routes {
		if p, _ := r.User.Password(); p != opts.Cluster.Password {
			t.Errorf("%s is not joined with the secret", r.Host)
		}
	}
	if len(opts.Nkeys) != 6 { // four services, a gateway, the operator
		t.Errorf("%d users", len(opts.Nkeys))
	}
}

// composed is what these tests look at in docker-compose.yml.
type composed struct {
	Services map[string]struct {
		User        string            `yaml:"user"`
		Environment map[string]string `yaml:"environment"`
		Volumes     []string          `yaml:"volumes"`
	} `yaml:"services"`
}

func TestTheContainersHaveTheKeysTheyNeedAndMayReadThem(t *testing.T) {
	t.Parallel()
	dir := madeKeys(t)
	var c composed
	if err := yaml.Unmarshal([]byte(read(t, "../../../docker-compose.yml")), &c); err != nil {
		t.Fatal(err)
	}
	for name, s := range c.Services {
		_, hasToken := s.Environment["GATEHOUSE_ADMIN_TOKEN"]
		if want := name == "config" || name == "audit"; hasToken != want {
			t.Errorf("%s has the first admin's token: %t", name, hasToken)
		}
		var inside []string
		for _, v := range s.Volumes {
			from, to, _ := strings.Cut(v, ":")
			if key, ok := strings.CutPrefix(from, "./deploy/keys/"); ok {
				inside = append(inside, strings.TrimSuffix(to, ":ro"))
				if _, err := os.Stat(filepath.Join(dir, key)); err != nil {
					t.Errorf("%s: keys init makes no %s", name, key)
				}
			}
		}
		seed, isService := s.Environment["GATEHOUSE_NATS_SEED_FILE"]
		if isService && (!slices.Contains(inside, seed) || !strings.Contains(s.User, "${GATEHOUSE_UID")) {
			t.Errorf("%s, as user %q, cannot read %s", name, s.User, seed)
		}
	}
}
