package secret_test

import (
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keys makes a keys folder.
func keys(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := secret.Init(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sealer gives what config has.
func sealer(t testing.TB, n *testkit.NATS, keys string) *secret.Sealer {
	t.Helper()
	return must(secret.NewSealer(n.JetStream(t, topology.Config), keys))
}

// opener gives what a gateway process has, with the identity of an owner.
func opener(t testing.TB, js jetstream.JetStream, keys string, owner secret.Owner) *secret.Opener {
	t.Helper()
	return secret.NewOpener(js, must(secret.ReadIdentity(secret.IdentityFile(keys, owner))), func(string) (string, bool) { return "", false }, "")
}
