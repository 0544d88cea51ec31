package configlog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// extra is what a service keeps beside the Snapshot.
type extra struct{ Sealed map[string][]byte }

// file gives a file of a new folder.
func file(t testing.TB) (f *configlog.File, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "snapshot [1]*") // a name that no pattern may take for one
	return must(configlog.NewFile(path, []byte("secret"))), path
}

func someSnapshot() *configlog.Snapshot {
	s := &configlog.Snapshot{State: eventlog.State{}.Next([]byte("x"))}
	s.Config.Sites = []configlog.Site{{ID: "jira", Nodes: []configlog.Node{{ID: "n1"}}}}
	return s
}

func TestAFileGivesWhatWasSaved(t *testing.T) {
	t.Parallel()
	f, _ := file(t)
	rapid.Check(t, func(t *rapid.T) {
		s := &configlog.Snapshot{State: eventlog.State{Seq: rapid.Uint64().Draw(t, "seq"), Hash: eventlog.Hash{byte(rapid.Int().Draw(t, "hash"))}}}
		_ = s.Fold(registered("jira"))
		for range rapid.IntRange(0, 20).Draw(t, "facts") {
			_ = s.Fold(drawFact(t)) // those that do not fit are refused
		}
		heardAt := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "heard"), 5).UTC()
		beside := extra{Sealed: map[string][]byte{"a.1": rapid.SliceOf(rapid.Byte()).Draw(t, "sealed")}}
		if err := f.Save(s, heardAt, beside); err != nil {
			t.Fatal(err)
		}
		var gotBeside extra
		got, gotHeard, err := f.Load(&gotBeside)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got) + cmp.Diff(heardAt, gotHeard) + cmp.Diff(beside, gotBeside); diff != "" {
			t.Fatalf("(-saved +loaded):\n%s", diff)
		}
	})
}

func TestNoFileIsNoSnapshotAndNoError(t *testing.T) {
	t.Parallel()
	f, _ := file(t)
	if s, heardAt, err := f.Load(nil); s != nil || !heardAt.IsZero() || err != nil {
		t.Fatalf("%v, %v, %v", s, heardAt, err)
	}
}

func TestAFileHidesWhatItHolds(t *testing.T) {
	t.Parallel()
	f, path := file(t)
	if err := f.Save(someSnapshot(), time.Now(), extra{Sealed: map[string][]byte{"hunter2": nil}}); err != nil {
		t.Fatal(err)
	}
	info := must(os.Stat(path))
	if data := must(os.ReadFile(path)); bytes.Contains(data, []byte("hunter2")) || bytes.Contains(data, []byte("jira")) || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %s, %d bytes: %q", info.Mode(), len(data), data)
	}
}

func TestAnAlteredFileIsRefused(t *testing.T) {
	t.Parallel()
	f, path := file(t)
	if err := f.Save(someSnapshot(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	whole := must(os.ReadFile(path))
	refused := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, _, err := f.Load(nil); s != nil || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 1
		refused("byte "+strconv.Itoa(i), altered)
		refused("cut at "+strconv.Itoa(i), whole[:i])
	}
	refused("longer", append(bytes.Clone(whole), 0))
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _, err := f.Load(nil); s == nil || err != nil {
		t.Fatalf("the whole file: %v", err)
	}
}

func TestAFileOfAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	f, path := file(t)
	if err := f.Save(someSnapshot(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if s, _, err := must(configlog.NewFile(path, []byte("other"))).Load(nil); s != nil || err == nil {
		t.Fatalf("%v, %v", s, err)
	}
}

func TestAFileThatCannotBeWrittenIsAnErrorAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	gone := must(configlog.NewFile(filepath.Join(t.TempDir(), "no", "such", "folder"), []byte("x")))
	if err := gone.Save(someSnapshot(), time.Now(), nil); err == nil || !strings.Contains(err.Error(), "snapshot file") {
		t.Errorf("got %v", err)
	}
	f, path := file(t)
	if err := os.Mkdir(path, 0o700); err != nil { // nothing can be put in the place of a folder
		t.Fatal(err)
	}
	if err := f.Save(someSnapshot(), time.Now(), nil); err == nil {
		t.Error("saved over a folder")
	}
	if _, _, err := f.Load(nil); err == nil {
		t.Error("loaded a folder")
	}
	onlyFile(t, path)
	if err := f.Save(someSnapshot(), time.Now(), func() {}); err == nil {
		t.Error("saved what is no JSON")
	}
}

// onlyFile checks that nothing but path is in its folder.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	for _, e := range must(os.ReadDir(filepath.Dir(path))) {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestASaveThatWasKilledLeavesNothingForLong(t *testing.T) {
	t.Parallel()
	f, path := file(t)
	if err := f.Save(someSnapshot(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new-123", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _, err := must(configlog.NewFile(path, []byte("secret"))).Load(nil); s == nil || err != nil {
		t.Fatalf("%v, %v", s, err)
	}
	onlyFile(t, path)
}

func TestAReaderSeesOneSaveOrTheOther(t *testing.T) {
	t.Parallel()
	f, path := file(t)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range 50 {
				if err := f.Save(someSnapshot(), time.Now(), nil); err != nil {
					t.Error(err)
				}
				if s, _, err := f.Load(nil); err != nil || s.Config.Site("jira") == nil {
					t.Errorf("%v, %v", s, err)
				}
			}
		})
	}
	all.Wait()
	onlyFile(t, path)
}
