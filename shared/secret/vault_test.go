package secret_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

const value = "hunter2 “geheim”"

// named is the secret that the tests seal.
var named = configlog.Secret{Ref: "jira.svc-api", Version: 1}

// wantRefused checks that an error names what it must, and never the value.
func wantRefused(t testing.TB, err error, names string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), names) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "%!") {
		t.Errorf("got %v, want an error that names %s", err, names)
	}
}

func TestOnlyItsOwnerAndRecoveryOpenASecret(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	for _, owner := range []secret.Owner{secret.Introspection, secret.Gateway} {
		s := configlog.Secret{Ref: string(owner), Version: 3}
		if err := sealer(t, n, dir).Seal(t.Context(), owner, s.Key(), value); err != nil {
			t.Fatal(err)
		}
		for _, who := range []secret.Owner{secret.Introspection, secret.Gateway, secret.Recovery} {
			got, err := opener(t, n.JetStream(t, topology.Gateway), dir, who).Open(t.Context(), s)
			switch {
			case who == owner || who == secret.Recovery:
				if err != nil || got != value {
					t.Errorf("%s opens what is %s's: %q, %v", who, owner, got, err)
				}
			case err == nil || got != "":
				t.Errorf("%s has opened what is %s's", who, owner)
			default:
				wantRefused(t, err, s.Key())
			}
		}
	}
	if _, err := opener(t, n.JetStream(t, topology.Gateway), keys(t), secret.Gateway).Open(t.Context(), configlog.Secret{Ref: "gateway", Version: 3}); err == nil {
		t.Error("another installation's gateway has opened it")
	}
}

func TestTheBucketHoldsNoPlainText(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	js := n.JetStream(t, topology.Config)
	if err := must(secret.NewSealer(js, dir)).Seal(t.Context(), secret.Gateway, named.Key(), value); err != nil {
		t.Fatal(err)
	}
	entry := must(must(js.KeyValue(t.Context(), topology.BucketSecrets)).Get(t.Context(), named.Key()))
	if strings.Contains(string(entry.Value()), "hunter2") || !strings.HasPrefix(string(entry.Value()), "age-encryption.org/v1") {
		t.Fatalf("%q", entry.Value())
	}
}

func TestASecretIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	s := sealer(t, n, dir)
	var all sync.WaitGroup
	results := make(chan error, 8)
	for range cap(results) {
		all.Go(func() { results <- s.Seal(t.Context(), secret.Gateway, named.Key(), value) })
	}
	all.Wait()
	sealed := 0
	for range cap(results) {
		if err := <-results; err == nil {
			sealed++
		} else if wantRefused(t, err, named.Key()); !errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, secret.ErrAway) {
			t.Error(err)
		}
	}
	if sealed != 1 {
		t.Fatalf("sealed %d times", sealed)
	}
	wantRefused(t, s.Seal(t.Context(), secret.Gateway, named.Key(), "other"), named.Key())
	if got, err := opener(t, n.JetStream(t, topology.Gateway), dir, secret.Gateway).Open(t.Context(), named); err != nil || got != value {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestWhatCannotBeOpenedIsNotSealed(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	s := sealer(t, n, dir)
	for what, err := range map[string]error{
		"empty":     s.Seal(t.Context(), secret.Gateway, named.Key(), ""),
		"too large": s.Seal(t.Context(), secret.Gateway, named.Key(), value+strings.Repeat("x", secret.MaxBytes)),
		"no owner":  s.Seal(t.Context(), "nobody", named.Key(), value),
	} {
		if wantRefused(t, err, named.Key()); errors.Is(err, secret.ErrAway) {
			t.Errorf("%s: said to be away", what)
		}
	}
	if err := s.Seal(t.Context(), secret.Gateway, "no key at all", value); err == nil || errors.Is(err, secret.ErrAway) {
		t.Errorf("no key: %v", err)
	}
	largest := strings.Repeat("x", secret.MaxBytes)
	if err := s.Seal(t.Context(), secret.Gateway, named.Key(), largest); err != nil {
		t.Fatal(err)
	}
	if got, err := opener(t, n.JetStream(t, topology.Gateway), dir, secret.Gateway).Open(t.Context(), named); err != nil || got != largest {
		t.Fatalf("the largest: %d bytes, %v", len(got), err)
	}
}

func TestWhatIsNotInTheBucketIsNotAway(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	js := n.JetStream(t, topology.Config)
	if err := must(secret.NewSealer(js, dir)).Seal(t.Context(), secret.Gateway, "gone.1", value); err != nil {
		t.Fatal(err)
	}
	if err := must(js.KeyValue(t.Context(), topology.BucketSecrets)).Delete(t.Context(), "gone.1"); err != nil {
		t.Fatal(err)
	}
	o := opener(t, n.JetStream(t, topology.Gateway), dir, secret.Gateway)
	for _, s := range []configlog.Secret{named, {Ref: "gone", Version: 1}, {Ref: "*", Version: 1}, {Ref: "gone.>", Version: 1}, {Ref: `"}`, Version: 1}} {
		_, err := o.Open(t.Context(), s)
		if wantRefused(t, err, s.Key()); errors.Is(err, secret.ErrAway) {
			t.Errorf("%s: said to be away: %v", s.Key(), err)
		}
	}
	if _, err := o.Open(t.Context(), configlog.Secret{}); err == nil {
		t.Error("no secret was opened")
	}
}

func TestNATSAwayKeepsWhatIsRemembered(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	later := configlog.Secret{Ref: "later", Version: 1}
	seal := sealer(t, n, dir)
	for _, s := range []configlog.Secret{named, later} {
		if err := seal.Seal(t.Context(), secret.Gateway, s.Key(), value); err != nil {
			t.Fatal(err)
		}
	}
	js := n.JetStream(t, topology.Gateway)
	o := opener(t, js, dir, secret.Gateway)
	if _, err := o.Open(t.Context(), named); err != nil {
		t.Fatal(err)
	}
	gone := js.Conn().StatusChanged(nats.RECONNECTING)
	n.Stop()
	<-gone
	restarted := opener(t, js, dir, secret.Gateway)
	restarted.Remember(o.Sealed())
	for name, o := range map[string]*secret.Opener{"running": o, "restarted": restarted} {
		if got, err := o.Open(t.Context(), named); err != nil || got != value {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_, err := o.Open(t.Context(), later)
		if wantRefused(t, err, "later.1"); !errors.Is(err, secret.ErrAway) {
			t.Errorf("%s: %v", name, err)
		}
		o.Keep(func(key string) bool { return key == later.Key() })
		if _, err := o.Open(t.Context(), named); !errors.Is(err, secret.ErrAway) || len(o.Sealed()) != 0 {
			t.Errorf("%s has not forgotten: %v", name, err)
		}
	}
	if err := seal.Seal(t.Context(), secret.Gateway, "x.1", value); !errors.Is(err, secret.ErrAway) {
		t.Errorf("sealed without NATS: %v", err)
	}
	n.Start(t)
	back := js.Conn().StatusChanged(nats.CONNECTED)
	if !js.Conn().IsConnected() {
		<-back
	}
	if got, err := o.Open(t.Context(), later); err != nil || got != value {
		t.Errorf("back again: %q, %v", got, err)
	}
}

func TestAnAnswerIsNotWaitedForLongerThanAsked(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	o := opener(t, n.JetStream(t, topology.RateLimit), keys(t), secret.Gateway) // may not ask, and gets no answer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := o.Open(ctx, named); !errors.Is(err, secret.ErrAway) {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyVariablesForSecretsAreRead(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"GATEHOUSE_SECRET_OK": value, "GATEHOUSE_SECRET_EMPTY": "", "GATEHOUSE_DATABASE_URL": value, "HOME": value, "gatehouse_secret_x": value,
	}
	o := secret.NewOpener(nil, nil, func(name string) (string, bool) { v, ok := environ[name]; return v, ok }, "")
	if got, err := o.Open(t.Context(), configlog.Secret{Env: "GATEHOUSE_SECRET_OK"}); err != nil || got != value {
		t.Fatalf("%q, %v", got, err)
	}
	for _, name := range []string{"GATEHOUSE_SECRET_EMPTY", "GATEHOUSE_SECRET_UNSET", "GATEHOUSE_DATABASE_URL", "HOME", "gatehouse_secret_x"} {
		_, err := o.Open(t.Context(), configlog.Secret{Env: name})
		wantRefused(t, err, name)
	}
}

func TestOnlyFilesOfTheFolderAreRead(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(top, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("outside", "hunter2 outside")
	write("secrets-not/inside", "hunter2 neighbour")
	write("secrets/plain", value+"\r\n\n")
	write("secrets/sub/deep", value)
	write("secrets/..2026/token", value) // as Kubernetes mounts a secret
	write("secrets/empty", "\n")
	write("secrets/large", value+strings.Repeat("x", secret.MaxBytes))
	for name, target := range map[string]string{
		"..data": "..2026", "token": "..data/token", "out": "../outside", "absolute": filepath.Join(top, "outside"), "loop": "loop", "up": "..",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := secret.NewOpener(nil, nil, nil, dir)
	for _, name := range []string{"plain", "./plain", "sub/deep", "sub/../plain", "token"} {
		if got, err := o.Open(t.Context(), configlog.Secret{File: name}); err != nil || got != value {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"missing", "empty", "large", "sub", "pipe", "out", "absolute", "loop", "up/outside", "../outside", "sub/../../outside", "../secrets-not/inside",
		filepath.Join(top, "outside"), filepath.Join(dir, "plain"), "/etc/passwd", ".", "plain/", "plain\x00",
	} {
		got, err := o.Open(t.Context(), configlog.Secret{File: name})
		if wantRefused(t, err, name); got != "" {
			t.Errorf("%s: gives %q", name, got)
		}
	}
	_, err := secret.NewOpener(nil, nil, nil, "").Open(t.Context(), configlog.Secret{File: "plain"})
	wantRefused(t, err, "GATEHOUSE_SECRETS_DIR")
	_, err = secret.NewOpener(nil, nil, nil, filepath.Join(top, "nowhere")).Open(t.Context(), configlog.Secret{File: "plain"})
	wantRefused(t, err, "plain")
}

func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	n, dir := testkit.StartNATS(t), keys(t)
	if err := sealer(t, n, dir).Seal(t.Context(), secret.Gateway, named.Key(), value); err != nil {
		t.Fatal(err)
	}
	o := opener(t, n.JetStream(t, topology.Gateway), dir, secret.Gateway)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				if got, err := o.Open(t.Context(), named); err != nil || got != value {
					t.Errorf("%q, %v", got, err)
				}
				o.Remember(o.Sealed())
				o.Keep(func(string) bool { return false })
			}
		})
	}
	all.Wait()
}
