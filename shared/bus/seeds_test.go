package bus_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestSeedsAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	var all sync.WaitGroup
	made := make([]map[topology.Service]string, 8)
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = bus.InitSeeds(dir, "eu-1", "eu-1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	again, err := bus.InitSeeds(dir) // knows the gateway by its key
	if err != nil || len(again) != len(topology.Services())+1 || again[topology.GatewayUser("eu-1")] == "" {
		t.Fatalf("%v, %v", again, err)
	}
	for _, m := range made {
		if diff := cmp.Diff(again, m); diff != "" {
			t.Errorf("two processes have made two keys:\n%s", diff)
		}
	}
	for s, key := range again {
		info, err := os.Stat(bus.SeedFile(dir, s))
		if err != nil || info.Mode().Perm() != 0o600 || !nkeys.IsValidPublicUserKey(key) {
			t.Errorf("%s: %v, %v, %q", s, info, err, key)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "nats"))
	if err != nil || len(entries) != len(again) {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestASeedThatIsNoneIsNamedButNotShown(t *testing.T) {
	t.Parallel()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "hunter2", string(seed)} {
		dir := t.TempDir()
		if _, err := bus.InitSeeds(dir); err != nil {
			t.Fatal(err)
		}
		path := bus.SeedFile(dir, topology.Audit)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bus.InitSeeds(dir); err == nil || !strings.Contains(err.Error(), path) || (text != "" && strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q was replaced by %q, %v", text, got, err)
		}
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.InitSeeds(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
}

func TestAGatewayKnowsItselfByItsKey(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		bus.SeedFile("keys", topology.GatewayUser("eu-1")): "eu-1", bus.SeedFile("keys", topology.Gateway): "",
		bus.SeedFile("keys", topology.Audit): "", "": "", "gateway.*.nk": "", "gateway.a.b.nk": "",
		"gateway.config.nk": "", "gateway.config-log.nk": "", "gateway.audit.nk": "", "gateway.config-logs.nk": "config-logs",
	} {
		if got := bus.GatewayOf(file); got != want {
			t.Errorf("%s is of %q, want %q", file, got, want)
		}
	}
	for _, id := range []string{"", "*", ">", "a.b", "a/b", strings.Repeat("x", 65), "config", "audit", "config-log"} {
		if _, err := bus.InitSeeds(t.TempDir(), id); err == nil {
			t.Errorf("%q got a key", id)
		}
	}
}
