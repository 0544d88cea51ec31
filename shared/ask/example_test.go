package ask_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// A service answers who a caller is, and another one asks.
func Example() {
	dir, err := os.MkdirTemp("", "ask")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log, keys := slog.New(slog.DiscardHandler), dir+"/keys"
	users, err := bus.InitSeeds(keys, "eu-1")
	nats, started := broker.Start(log, broker.Settings{StoreDir: dir, Users: users})
	if err := errors.Join(err, started); err != nil {
		panic(err)
	}
	defer nats.Stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	there, err := bus.Connect(ctx, log, topology.Introspection, bus.Settings{InProcess: nats, SeedFile: bus.SeedFile(keys, topology.Introspection)})
	here, connected := bus.Connect(ctx, log, topology.GatewayUser("eu-1"), bus.Settings{InProcess: nats, SeedFile: bus.SeedFile(keys, topology.GatewayUser("eu-1"))})
	if err := errors.Join(err, connected); err != nil {
		panic(err)
	}
	defer there.Close()
	defer here.Close()

	server, err := ask.NewServer(ctx, there, log, noop.NewTracerProvider().Tracer(""), ask.Settings{Name: "introspection", Version: "1.0.0"})
	if err != nil {
		panic(err)
	}
	defer func() { _ = server.Stop() }()
	err = ask.Handle(server, "whoami", topology.WhoAmI, func(_ context.Context, token *wrapperspb.StringValue) (proto.Message, error) {
		if token.GetValue() != "valid" {
			return nil, fault.New(fault.NotFound, "nobody has this token")
		}
		return wrapperspb.String("alice"), nil
	})
	if err != nil {
		panic(err)
	}

	var who wrapperspb.StringValue
	err = ask.Do(ctx, here, topology.WhoAmI, wrapperspb.String("valid"), &who)
	fmt.Println(who.GetValue(), err)
	err = ask.Do(ctx, here, topology.WhoAmI, wrapperspb.String("forged"), &who)
	fmt.Println(fault.CodeOf(err), err)
	// Output:
	// alice <nil>
	// not_found nobody has this token
}
