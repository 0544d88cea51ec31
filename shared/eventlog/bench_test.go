package eventlog_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// single is the single-node edition's server, and how config connects to it.
func single(b *testing.B, lax bool) func() jetstream.JetStream {
	b.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		b.Fatal(err)
	}
	public, _ := key.PublicKey()
	seed, _ := key.Seed()
	file := filepath.Join(b.TempDir(), "config.nk")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		b.Fatal(err)
	}
	srv, err := broker.Start(testkit.Logger(b), broker.Settings{
		StoreDir: b.TempDir(), Users: map[topology.Service]string{topology.Config: public}, Lax: lax,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(srv.Stop)
	connect := func() jetstream.JetStream {
		nc, err := bus.Connect(context.WithoutCancel(b.Context()), testkit.Logger(b), topology.Config, bus.Settings{InProcess: srv, SeedFile: file})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			b.Fatal(err)
		}
		return js
	}
	if err := topology.Ensure(b.Context(), connect(), topology.Limits{}); err != nil {
		b.Fatal(err)
	}
	return connect
}

// commit300 gives 300 bytes unlike any other.
func commit300(i int) []byte {
	data := make([]byte, 300)
	strconv.AppendInt(data[:0], int64(i), 10)
	return data
}

// byDisk runs a benchmark with and without fsync, the disk being most of an append.
func byDisk(b *testing.B, bench func(b *testing.B, connect func() jetstream.JetStream)) {
	for _, lax := range []bool{false, true} {
		b.Run(map[bool]string{false: "fsync", true: "lax"}[lax], func(b *testing.B) { bench(b, single(b, lax)) })
	}
}

// BenchmarkAppend is one append: the commit it follows read, and the new one stored.
func BenchmarkAppend(b *testing.B) {
	byDisk(b, func(b *testing.B, connect func() jetstream.JetStream) {
		log := eventlog.New(connect(), topology.ConfigLog(), eventlog.Options{})
		var at eventlog.State
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			next, err := log.Append(b.Context(), at, commit300(i))
			if err != nil {
				b.Fatal(err)
			}
			at = next
		}
	})
}

// BenchmarkAppendToFollower is the way of a commit from Append's beginning to a follower on another
// connection that has applied it. Compare with BenchmarkBareHop.
func BenchmarkAppendToFollower(b *testing.B) {
	byDisk(b, func(b *testing.B, connect func() jetstream.JetStream) {
		log := eventlog.New(connect(), topology.ConfigLog(), eventlog.Options{})
		applied := make(chan time.Time, 1)
		settled := make(chan struct{}, 1)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(b.Context())
		go func() {
			ended <- eventlog.New(connect(), topology.ConfigLog(), eventlog.Options{}).Follow(ctx, eventlog.State{}, eventlog.Follower{
				Apply: func(eventlog.Commit) error { applied <- time.Now(); return nil },
				Settled: func(eventlog.State) {
					select {
					case settled <- struct{}{}:
					default:
					}
				},
			})
		}()
		<-settled
		var at eventlog.State
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			start := time.Now()
			next, err := log.Append(b.Context(), at, commit300(i))
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, (<-applied).Sub(start))
			at = next
		}
		stop()
		<-ended
		percentiles(b, took)
	})
}

// BenchmarkBareHop is a plain message from one connection to another of the same kind.
func BenchmarkBareHop(b *testing.B) {
	n := testkit.StartNATS(b)
	from, to := n.Connect(b, topology.Gateway), n.Connect(b, topology.Config)
	came := make(chan *nats.Msg, 1)
	beat := topology.GatewayBeat("x")
	if _, err := to.ChanSubscribe(beat, came); err != nil {
		b.Fatal(err)
	}
	if err := to.Flush(); err != nil {
		b.Fatal(err)
	}
	data := commit300(0)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := from.Publish(beat, data); err != nil {
			b.Fatal(err)
		}
		<-came
		took = append(took, time.Since(start))
	}
	percentiles(b, took)
}

// BenchmarkReplay is reading and checking 20,000 commits of 300 bytes from the beginning.
func BenchmarkReplay(b *testing.B) {
	const commits = 20_000
	log := eventlog.New(single(b, true)(), topology.ConfigLog(), eventlog.Options{})
	var at eventlog.State
	for i := range commits {
		next, err := log.Append(b.Context(), at, commit300(i))
		if err != nil {
			b.Fatal(err)
		}
		at = next
	}
	b.ReportAllocs()
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		n := 0
		_ = log.Follow(ctx, eventlog.State{}, eventlog.Follower{
			Apply:   func(eventlog.Commit) error { n++; return nil },
			Settled: func(eventlog.State) { stop() },
		})
		stop()
		if n != commits {
			b.Fatalf("%d commits", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/commits, "ns/commit")
}

func percentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}
