package suite_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// BenchmarkPutToApplied is the time from a PUT of the configuration until three gateways decide by it, fsync of
// the log included, beside a bare hop of NATS from one connection to another, in one run.
func BenchmarkPutToApplied(b *testing.B) {
	dir, others := testkit.OpenDir(b), []string{"bench-1", "bench-2"}
	keys := filepath.Join(dir, "keys")
	if _, err := bus.InitSeeds(keys, others...); err != nil { // the suite lets in whoever has a key when it starts
		b.Fatal(err)
	}
	r := start(b, dir)
	connect := func(who topology.Service) bus.Settings {
		return bus.Settings{URL: "nats://" + r.NATS.String(), SeedFile: bus.SeedFile(keys, who)}
	}
	for _, id := range others {
		anotherGateway(b, keys, connect(topology.GatewayUser(id)))
	}
	for listed := 0; listed < 3; {
		var answer struct {
			Gateways []struct {
				Live bool `json:"live"`
			} `json:"gateways"`
		}
		_, body := r.admin(http.MethodGet, "gateways", "", "")
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			b.Fatalf("%v in %s", err, body)
		}
		listed = len(answer.Gateways)
	}
	hop := bareHop(b, connect)
	var puts, hops []time.Duration
	on := true
	for b.Loop() {
		hops = append(hops, hop())
		resp, body := r.admin(http.MethodGet, "config", "", "")
		var document map[string]any
		if err := json.Unmarshal([]byte(body), &document); err != nil {
			b.Fatal(err)
		}
		on = !on
		jiraSite(document)["methods"].(map[string]any)["links"] = on
		changed, err := json.Marshal(document)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		answer, text := r.admin(http.MethodPut, "config?wait=applied", resp.Header.Get("ETag"), string(changed))
		puts = append(puts, time.Since(began))
		var put struct {
			Pending []string `json:"pending"`
		}
		if err := json.Unmarshal([]byte(text), &put); err != nil || answer.StatusCode != http.StatusOK || len(put.Pending) > 0 {
			b.Fatalf("%s %s", answer.Status, text)
		}
	}
	slices.Sort(puts)
	slices.Sort(hops)
	report := func(name string, all []time.Duration) {
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-p99-µs")
	}
	report("put-to-3-gateways", puts)
	report("bare-hop", hops)
	b.ReportMetric(0, "ns/op")
}

func anotherGateway(b *testing.B, keys string, nats bus.Settings) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := gateway.Settings{
		Settings: nats, DataDir: b.TempDir(), KeysDir: keys, Listener: l, IdentityTimeout: time.Second, IdentityCache: 1000,
		AuditSpool: 1 << 30, ReplyTimeout: time.Minute, ShutdownGrace: time.Second,
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	host := service.NewProcess(testkit.Logger(b), nil).Host("gateway", "")
	go func() { done <- gateway.Run(ctx, host, s) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// bareHop measures a message from a gateway's connection to config's.
func bareHop(b *testing.B, connect func(topology.Service) bus.Settings) func() time.Duration {
	from, err := bus.Connect(b.Context(), testkit.Logger(b), topology.GatewayUser("bench-1"), connect(topology.GatewayUser("bench-1")))
	if err != nil {
		b.Fatal(err)
	}
	to, err := bus.Connect(b.Context(), testkit.Logger(b), topology.Config, connect(topology.Config))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { from.Close(); to.Close() })
	sub, err := to.SubscribeSync(topology.GatewayBeat("bench-1"))
	if err != nil {
		b.Fatal(err)
	}
	if err := to.FlushTimeout(5 * time.Second); err != nil {
		b.Fatal(err)
	}
	return func() time.Duration {
		began := time.Now()
		if err := from.Publish(topology.GatewayBeat("bench-1"), nil); err != nil {
			b.Fatal(err)
		}
		if err := from.Flush(); err != nil {
			b.Fatal(err)
		}
		if _, err := sub.NextMsg(5 * time.Second); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}
