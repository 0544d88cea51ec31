package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A single node runs its NATS server in its own process, with a user for each service.
func Example() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	users, err := bus.InitSeeds(dir + "/keys")
	if err != nil {
		panic(err)
	}
	nats, err := broker.Start(slog.New(slog.DiscardHandler), broker.Settings{Listen: "127.0.0.1:0", StoreDir: dir, Users: users})
	if err != nil {
		panic(err)
	}
	defer nats.Stop()
	fmt.Println(nats.Running(), nats.JetStreamEnabled())
	// Output: true true
}

// place is a folder for a server, with keys.
func place(t testing.TB) (broker.Settings, string) {
	t.Helper()
	dir := t.TempDir()
	users, err := bus.InitSeeds(dir, "g1")
	if err != nil {
		t.Fatal(err)
	}
	return broker.Settings{StoreDir: filepath.Join(dir, "store"), Users: users}, dir
}

func start(t testing.TB, s broker.Settings) *broker.Broker {
	t.Helper()
	b, err := broker.Start(testkit.Logger(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func connect(t testing.TB, b *broker.Broker, keys string, s topology.Service) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), testkit.Logger(t), s, bus.Settings{InProcess: b, SeedFile: bus.SeedFile(keys, s)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestOnlyKnownKeysConnect(t *testing.T) {
	t.Parallel()
	s, dir := place(t)
	s.Listen = "127.0.0.1:0"
	delete(s.Users, topology.Audit)
	s.Users[topology.RateLimit] = "UNSENSE"
	b := start(t, s)
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := stranger.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key := func(s topology.Service) nats.Option {
		auth, err := nats.NkeyOptionFromSeed(bus.SeedFile(dir, s))
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	for name, c := range map[string]struct {
		auth nats.Option
		ok   bool
	}{
		"gateway":                    {key(topology.GatewayUser("g1")), true},
		"audit, which has no user":   {key(topology.Audit), false},
		"ratelimit, with a bad key":  {key(topology.RateLimit), false},
		"a stranger":                 {nats.Nkey(public, stranger.Sign), false},
		"known key, other signature": {nats.Nkey(s.Users[topology.GatewayUser("g1")], stranger.Sign), false},
		"a password":                 {nats.UserInfo("gateway", "x"), false},
		"nobody":                     {nats.Name("nobody"), false},
	} {
		nc, err := nats.Connect(b.ClientURL(), c.auth)
		if err == nil {
			nc.Close()
		}
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, nats.ErrAuthorization)) {
			t.Errorf("%s: %v", name, err)
		}
		if nc, err = nats.Connect("", c.auth, nats.InProcessServer(b), nats.FlusherTimeout(100*time.Millisecond)); err == nil {
			nc.Close()
		}
		if (err == nil) != c.ok {
			t.Errorf("%s, in process: %v", name, err)
		}
	}
}

func TestAServerThatWouldLetEverybodyInIsNotStarted(t *testing.T) {
	t.Parallel()
	for name, users := range map[string]map[topology.Service]string{"none": nil, "bad keys": {topology.Config: "x", topology.Gateway: ""}, "no service": {"x": "y"}} {
		b, err := broker.Start(testkit.Logger(t), broker.Settings{StoreDir: t.TempDir(), Users: users})
		if err == nil {
			b.Stop()
			t.Errorf("%s: started", name)
		}
	}
}

func TestWhatKeepsItFromStartingIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*broker.Settings){
		taken.Addr().String(): func(s *broker.Settings) { s.Listen = taken.Addr().String() },
		file:                  func(s *broker.Settings) { s.StoreDir = file },
		"nonsense":            func(s *broker.Settings) { s.Listen = "nonsense" },
		"127.0.0.1:http":      func(s *broker.Settings) { s.Listen = "127.0.0.1:http" },
		"127.0.0.1:-1":        func(s *broker.Settings) { s.Listen = "127.0.0.1:-1" },
		"127.0.0.1:65536":     func(s *broker.Settings) { s.Listen = "127.0.0.1:65536" },
		"192.0.2.1:4222":      func(s *broker.Settings) { s.Listen = "192.0.2.1:4222" }, // not ours
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s, _ := place(t)
			change(&s)
			began := time.Now()
			b, err := broker.Start(slog.New(slog.DiscardHandler), s)
			if err == nil {
				b.Stop()
				t.Fatal("started")
			}
			if took := time.Since(began); took > 10*time.Second || !strings.Contains(err.Error(), want) {
				t.Fatalf("after %s: %v", took, err)
			}
		})
	}
}

func TestInProcessOnlyMeansNoSocket(t *testing.T) {
	t.Parallel()
	s, dir := place(t)
	b := start(t, s)
	if b.Addr() != nil {
		t.Errorf("listens on %s", b.Addr())
	}
	if nc := connect(t, b, dir, topology.GatewayUser("g1")); !nc.IsConnected() {
		t.Error("not reached in process")
	}
}

func TestARestartGoesOnFromWhatWasStored(t *testing.T) {
	t.Parallel()
	s, dir := place(t)
	s.Listen = "127.0.0.1:0"
	b := start(t, s)
	url := bus.Settings{URL: b.ClientURL(), SeedFile: bus.SeedFile(dir, topology.Config)}
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), testkit.Logger(t), topology.Config, url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := topology.Ensure(t.Context(), js, topology.Limits{}); err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), topology.BucketSecrets)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Create(t.Context(), "a.1", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	gone := nc.StatusChanged(nats.RECONNECTING)
	s.Listen = b.Addr().String()
	b.Stop()
	<-gone
	back := nc.StatusChanged(nats.CONNECTED)
	start(t, s)
	<-back // by itself
	got, err := bucket.Get(t.Context(), "a.1")
	if err != nil || string(got.Value()) != "sealed" {
		t.Fatalf("%v, %v", got, err)
	}
	if err := topology.Ensure(t.Context(), js, topology.Limits{}); err != nil {
		t.Fatal(err)
	}
}

func TestEveryUserHasRights(t *testing.T) {
	t.Parallel()
	s, _ := place(t)
	named := topology.Users(s.Users)
	users := broker.Users(s.Users)
	if want := len(topology.Services()) + 1; len(users) != want || len(named) != want { // and the operator
		t.Fatalf("%d users for %q", len(users), named)
	}
	for i, who := range named {
		p := users[i].Permissions
		if users[i].Nkey != s.Users[who] || len(p.Publish.Allow) == 0 || len(p.Subscribe.Allow) == 0 { // an empty list allows everything
			t.Errorf("%s: %+v", who, p)
		}
	}
}
