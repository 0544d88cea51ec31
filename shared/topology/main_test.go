package topology_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
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

// empty runs a server on which nothing was made yet, and gives config's way to it.
func empty(t testing.TB) jetstream.JetStream {
	t.Helper()
	dir := t.TempDir()
	users := must(bus.InitSeeds(dir))
	b := must(broker.Start(testkit.Logger(t), broker.Settings{StoreDir: filepath.Join(dir, "store"), Users: users, Lax: true}))
	t.Cleanup(b.Stop)
	nc := must(bus.Connect(context.WithoutCancel(t.Context()), testkit.Logger(t), topology.Config,
		bus.Settings{InProcess: b, SeedFile: bus.SeedFile(dir, topology.Config)}))
	t.Cleanup(nc.Close)
	return must(jetstream.New(nc))
}

// open runs a server that lets everybody do everything, so that only the streams themselves can refuse.
func open(t testing.TB) jetstream.JetStream {
	t.Helper()
	return openWith(t, 0)
}

// openWith bounds what all streams of the server may take on disk; 0: what the disk has.
func openWith(t testing.TB, store int64) jetstream.JetStream {
	t.Helper()
	s := must(server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: store,
	}))
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc := must(nats.Connect("", nats.InProcessServer(s)))
	t.Cleanup(nc.Close)
	return must(jetstream.New(nc))
}

// configs gives every stream, buckets included, as the server has it.
func configs(t testing.TB, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	all := map[string]jetstream.StreamConfig{}
	for _, name := range streams() {
		c := must(js.Stream(t.Context(), name)).CachedInfo().Config
		c.Metadata = nil // the server's own notes
		all[name] = c
	}
	return all
}

// streams are the names of all streams, buckets included.
func streams() []string {
	var names []string
	for _, s := range topology.Streams(topology.Limits{}) {
		names = append(names, s.Name)
	}
	for _, b := range topology.Buckets(topology.Limits{}) {
		names = append(names, "KV_"+b.Bucket)
	}
	return names
}
