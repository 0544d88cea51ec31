package testkit

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// NATS is a real server of one test, with every stream made and every service's rights enforced.
type NATS struct {
	*broker.Broker
	mu     sync.RWMutex // of Broker
	listen string       // the same after a restart
	dir    string
	users  map[topology.Service]string
	seeds  map[topology.Service]string // files
}

// StartNATS runs an in-process server until the test ends. It waits for no fsync, so that a test may append
// by the thousand.
func StartNATS(t testing.TB) *NATS {
	t.Helper()
	n := &NATS{listen: FreeAddress(t), dir: t.TempDir(), users: map[topology.Service]string{}, seeds: map[topology.Service]string{}}
	for _, s := range users() {
		n.users[s], n.seeds[s] = seed(t, string(s))
	}
	n.Start(t)
	t.Cleanup(func() { n.Stop() })
	if err := topology.Ensure(t.Context(), n.JetStream(t, topology.Config), topology.Limits{}); err != nil {
		t.Fatal(err)
	}
	return n
}

// Start runs the server again after Stop, on what it had stored.
func (n *NATS) Start(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	Until(t, "the address of the server that was there to be free", func() bool {
		b, err := broker.Start(Logger(t), broker.Settings{Listen: n.listen, StoreDir: filepath.Join(n.dir, "nats"), Users: n.users, Lax: true})
		if errors.Is(err, syscall.EADDRINUSE) {
			return false // a child of the test may hold it between fork and exec
		}
		if err != nil {
			t.Fatal(err)
		}
		n.Broker = b
		return true
	})
}

// Store is the folder the server keeps its streams in.
func (n *NATS) Store() string { return filepath.Join(n.dir, "nats", "jetstream", "$G", "streams") }

// Settings say how a service connects to this server.
func (n *NATS) Settings(s topology.Service) bus.Settings {
	return bus.Settings{InProcess: n, SeedFile: n.seeds[s]}
}

// InProcessConn reaches whichever server runs now, so that connections survive a Stop and Start.
func (n *NATS) InProcessConn() (net.Conn, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.Broker.InProcessConn()
}

// Remote says how a service in another process connects to this server.
func (n *NATS) Remote(s topology.Service) bus.Settings {
	return bus.Settings{URL: "nats://" + n.listen, SeedFile: n.seeds[s]}
}

// Connect gives a connection with the rights of a service, closed when the test ends.
func (n *NATS) Connect(t testing.TB, s topology.Service) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), Logger(t), s, n.Settings(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// JetStream gives a JetStream context with the rights of a service.
func (n *NATS) JetStream(t testing.TB, s topology.Service) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(n.Connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// users are whoever a test may be: besides the services, of which Gateway stands for any gateway, two gateways that
// each may speak for itself alone, and the operator.
func users() []topology.Service {
	return append(topology.Services(), topology.GatewayUser("g1"), topology.GatewayUser("g2"), topology.Operator)
}

func seed(t testing.TB, name string) (public, file string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err = key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name+".nk")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	return public, file
}
