package secret_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

// contents gives every file of a folder with its mode.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range must(os.ReadDir(dir)) {
		all[e.Name()] = must(e.Info()).Mode().String() + " " + string(must(os.ReadFile(filepath.Join(dir, e.Name()))))
	}
	return all
}

func TestInitMakesWhatIsMissingAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := keys(t)
	first := contents(t, dir)
	want := map[string]fs.FileMode{
		"introspection.age": 0o600, "gateway.age": 0o600, "recovery.age": 0o600, "fingerprint.key": 0o600,
		"introspection.pub": 0o644, "gateway.pub": 0o644, "recovery.pub": 0o644,
	}
	if len(first) != len(want) {
		t.Errorf("made %v", first)
	}
	for name, mode := range want {
		if !strings.HasPrefix(first[name], mode.String()+" ") {
			t.Errorf("%s: %.10s, want %s", name, first[name], mode)
		}
	}
	if mode := must(os.Stat(dir)).Mode().Perm(); mode != 0o700 {
		t.Errorf("folder has mode %s", mode)
	}
	if err := secret.Init(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, contents(t, dir)); diff != "" {
		t.Fatalf("a second Init has changed something:\n%s", diff)
	}
}

func TestTheRecoveryIdentityMayBeTakenAway(t *testing.T) {
	t.Parallel()
	dir := keys(t)
	if err := os.Remove(secret.IdentityFile(dir, secret.Recovery)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if err := secret.Init(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Fatalf("Init has made another:\n%s", diff)
	}
	if _, err := secret.NewSealer(nil, dir); err != nil {
		t.Fatalf("no sealing without it: %v", err)
	}
}

// TestInitThatWasInterrupted finds an identity without its recipient.
func TestInitThatWasInterrupted(t *testing.T) {
	t.Parallel()
	dir := keys(t)
	before := contents(t, dir)
	if err := os.Remove(filepath.Join(dir, "gateway.pub")); err != nil {
		t.Fatal(err)
	}
	if err := secret.Init(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Fatalf("not as before:\n%s", diff)
	}
}

func TestManyInitsAtOnceAgree(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "keys")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := secret.Init(dir); err != nil {
				t.Error(err)
				return
			}
			for _, owner := range []secret.Owner{secret.Introspection, secret.Gateway, secret.Recovery} {
				identity, err := secret.ReadIdentity(secret.IdentityFile(dir, owner))
				if err != nil {
					t.Error(err)
					return
				}
				if public := string(must(os.ReadFile(filepath.Join(dir, string(owner)+".pub")))); strings.TrimSpace(public) != identity.Recipient().String() {
					t.Errorf("%s: the recipient is another's", owner)
				}
			}
		})
	}
	all.Wait()
	if n := len(contents(t, dir)); n != 7 {
		t.Errorf("%d files", n)
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secret.Init(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
}

func TestAKeyThatIsNoneIsNamedButNotShown(t *testing.T) {
	t.Parallel()
	dir := keys(t)
	identity := string(must(os.ReadFile(secret.IdentityFile(dir, secret.Gateway))))
	for _, name := range []string{"gateway.age", "gateway.pub", "fingerprint.key"} {
		for what, text := range map[string]string{"garbage": "hunter2", "empty": "", "an identity": identity + "hunter2", "missing": "\x00"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if what == "missing" {
				_ = os.Remove(path)
			}
			var err error
			switch name {
			case "gateway.age":
				_, err = secret.ReadIdentity(path)
			case "gateway.pub":
				_, err = secret.NewSealer(nil, dir)
			default:
				_, err = secret.ReadFingerprinter(dir)
			}
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v", name, what, err)
			} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AGE-SECRET") {
				t.Errorf("%s, %s: the key is in the error: %v", name, what, err)
			}
		}
	}
}

func TestFingerprintsNeedTheKey(t *testing.T) {
	t.Parallel()
	one, other := must(secret.ReadFingerprinter(keys(t))), must(secret.ReadFingerprinter(keys(t)))
	if one.Of("a") == other.Of("a") || one.Of("a") == one.Of("b") || len(one.Of("")) != 32 {
		t.Fatal("fingerprints are not keyed")
	}
}
