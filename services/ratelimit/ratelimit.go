package ratelimit

import (
	"context"
	"fmt"
	"time"

	ratelimitv1 "github.com/gatehouse-suite/gatehouse/proto/ratelimit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// Settings of a ratelimit process.
type Settings struct {
	bus.Settings

	// Now is the clock; nil: the system's.
	Now func() time.Time `env:"-"`
}

// Run answers until ctx ends.
func Run(ctx context.Context, host *service.Host, s Settings) error {
	nc, err := bus.Connect(context.WithoutCancel(ctx), host.Log, topology.RateLimit, s.Settings)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	server, err := ask.NewServer(context.WithoutCancel(ctx), nc, host.Log, host.Tracer, ask.Settings{
		Name: "gatehouse-ratelimit", Version: service.Version, Queue: topology.QueueRateLimit,
	})
	if err != nil {
		return err
	}
	t := &tickets{js: js, now: s.Now}
	err = ask.Handle(server, "reserve", topology.Reserve, func(ctx context.Context, r *ratelimitv1.ReserveRequest) (proto.Message, error) {
		return t.reserve(ctx, r)
	})
	if err != nil {
		return err
	}
	host.Health.Set(func() service.Check {
		return service.Check{Ready: nc.IsConnected(), Detail: map[string]any{"nats": nc.Status().String()}}
	})
	<-ctx.Done()
	return server.Stop()
}
