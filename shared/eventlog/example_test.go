package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// plainServer is a server with JetStream and nothing of ours.
func plainServer() (_ jetstream.JetStream, stop func(), err error) {
	dir, err := os.MkdirTemp("", "gatehouse-eventlog-")
	if err != nil {
		return nil, nil, err
	}
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		return nil, nil, err
	}
	srv.Start()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	return js, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}, nil
}

// makeStream makes a stream as New wants it.
func makeStream(ctx context.Context, js jetstream.JetStream, s eventlog.Stream) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: s.Name, Subjects: []string{s.Subject}, AllowDirect: true,
		DenyDelete: true, DenyPurge: true, Discard: jetstream.DiscardNew,
		RePublish: &jetstream.RePublish{Source: s.Subject, Destination: s.Live},
	})
	return err
}

// withLog runs an example on a server of its own.
func withLog(example func(ctx context.Context, log *eventlog.Log) error) {
	ctx := context.Background()
	js, stop, err := plainServer()
	if err == nil {
		defer stop()
		stream := eventlog.Stream{Name: "DOORS", Subject: "log.doors", Live: "live.doors"}
		err = makeStream(ctx, js, stream)
		if err == nil {
			err = example(ctx, eventlog.New(js, stream, eventlog.Options{}))
		}
	}
	if err != nil {
		fmt.Println(err)
	}
}

// Who knows the newest State may append to it; who knows an older one is told what came in between.
func ExampleLog_Append() {
	withLog(func(ctx context.Context, log *eventlog.Log) error {
		first, err := log.Append(ctx, eventlog.State{}, []byte("door opened, request 1"))
		fmt.Println(first.Seq, err)

		_, err = log.Append(ctx, eventlog.State{}, []byte("door closed, request 2"))
		var conflict *eventlog.ConflictError
		fmt.Println(errors.As(err, &conflict) && conflict.Found == first)

		again, err := log.Append(ctx, eventlog.State{}, []byte("door opened, request 1"))
		fmt.Println(again == first, err)
		return nil
	})
	// Output:
	// 1 <nil>
	// true
	// true <nil>
}

// A follower keeps the State of the last commit it has applied beside what it made of it.
func ExampleLog_Follow() {
	withLog(func(ctx context.Context, log *eventlog.Log) error {
		var at eventlog.State
		for _, fact := range []string{"door opened", "door closed"} {
			next, err := log.Append(ctx, at, []byte(fact))
			if err != nil {
				return err
			}
			at = next
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		err := log.Follow(ctx, eventlog.State{}, eventlog.Follower{
			Apply: func(c eventlog.Commit) error {
				fmt.Printf("%d: %s\n", c.Seq, c.Data)
				return nil
			},
			Settled: func(s eventlog.State) {
				fmt.Println("up to date:", s == at)
				stop()
			},
			Away: func(err error) { fmt.Println("nobody there:", err) },
		})
		fmt.Println(err)
		return nil
	})
	// Output:
	// 1: door opened
	// 2: door closed
	// up to date: true
	// context canceled
}

func ExampleState_Next() {
	var empty eventlog.State
	first := empty.Next([]byte("door opened"))
	fmt.Println(first.Seq, first.Hash == empty.Next([]byte("door closed")).Hash)
	// Output: 1 false
}
