package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// A service connects to the server of this process, by the key that was made for it.
func Example() {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log := slog.New(slog.DiscardHandler)
	users, err := bus.InitSeeds(dir + "/keys")
	if err != nil {
		panic(err)
	}
	server, err := broker.Start(log, broker.Settings{StoreDir: dir, Users: users})
	if err != nil {
		panic(err)
	}
	defer server.Stop()
	nc, err := bus.Connect(context.Background(), log, topology.Config, bus.Settings{
		InProcess: server, SeedFile: bus.SeedFile(dir+"/keys", topology.Config),
	})
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	fmt.Println(nc.Opts.Name, nc.Status() == nats.CONNECTED)
	// Output: gatehouse-config true
}
