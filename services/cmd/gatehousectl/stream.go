package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long the servers have to answer.
const patience = 10 * time.Second

// streams does what an operator asks of the streams, with the operator's key.
func streams(ctx context.Context, args, environ []string, out io.Writer) error {
	s, err := settings.Load[bus.Settings](environ)
	if err != nil {
		return err
	}
	nc, err := bus.Connect(ctx, slog.New(slog.DiscardHandler), topology.Operator, s)
	if err != nil {
		return err
	}
	defer nc.Close()
	if !nc.IsConnected() { // it would be tried on for ever
		return fmt.Errorf("not let in by NATS at %s: %w", s.URL, nc.LastError())
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	switch args[0] {
	case "list":
		return listStreams(ctx, js, out)
	case "delete":
		return js.DeleteStream(ctx, args[1])
	default:
		return stepDown(ctx, js, args[1])
	}
}

// listStreams tells of each stream what it holds, who leads it and how the others follow.
func listStreams(ctx context.Context, js jetstream.JetStream, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all := js.ListStreams(ctx)
	for s := range all.Info() {
		line := fmt.Sprintf("%s: %d messages, sequences %d to %d, %d missing, %d bytes",
			s.Config.Name, s.State.Msgs, s.State.FirstSeq, s.State.LastSeq, s.State.NumDeleted, s.State.Bytes)
		if s.Cluster != nil {
			line += "; led by " + s.Cluster.Leader
			for _, r := range s.Cluster.Replicas {
				line += fmt.Sprintf("; %s current %t, offline %t, behind by %d", r.Name, r.Current, r.Offline, r.Lag)
			}
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return all.Err()
}

// stepDown has another server lead a stream.
func stepDown(ctx context.Context, js jetstream.JetStream, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
	if err != nil {
		return fmt.Errorf("step down: %w", err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("step down: %w", err)
	}
	if answer.Error != nil {
		return errors.New("step down: " + answer.Error.Description)
	}
	return nil
}
