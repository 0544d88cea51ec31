package gateways

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/proto"
)

// Run hears the beats and reads the bucket until ctx ends.
func (t *Tracker) Run(ctx context.Context, js jetstream.JetStream) error {
	sub, err := js.Conn().Subscribe(topology.GatewayBeat("*"), func(m *nats.Msg) {
		beat := new(configv1.GatewayBeat)
		if err := proto.Unmarshal(m.Data, beat); err != nil || topology.GatewayBeat(beat.GetId()) != m.Subject {
			t.log.LogAttrs(ctx, slog.LevelDebug, "a beat that is none", slog.String("subject", m.Subject))
			return
		}
		t.hear(beat, time.Now())
	})
	if err != nil {
		return fmt.Errorf("hear gateways: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	tick := time.NewTicker(t.opts.Every)
	defer tick.Stop()
	for {
		t.subscribed(ctx, js.Conn())
		if listed, err := t.read(ctx, js); err == nil {
			t.take(listed, time.Now())
		} else if ctx.Err() == nil {
			t.log.LogAttrs(ctx, slog.LevelDebug, "list of gateways not read", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// subscribed notes when the server has our subscription: only then are beats not missed.
func (t *Tracker) subscribed(ctx context.Context, nc *nats.Conn) {
	t.mu.Lock()
	already := !t.hearing.IsZero()
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if already || nc.FlushWithContext(ctx) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hearing = time.Now()
	t.broadcast()
}

// listed is an entry of the bucket.
type listed struct {
	beat     *configv1.GatewayBeat
	revision uint64
	written  time.Time
}

// read gives every entry of the bucket, by gateway id. A watcher would fall silent when the bucket is made
// anew; reading does not.
func (t *Tracker) read(ctx context.Context, js jetstream.JetStream) (map[string]listed, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	prefix := "$KV." + topology.BucketGateways + "."
	msgs, err := jetstreamext.GetLastMsgsFor(ctx, js, "KV_"+topology.BucketGateways, []string{prefix + ">"})
	if err != nil {
		return nil, fmt.Errorf("read bucket of gateways: %w", err)
	}
	out := map[string]listed{}
	left := "unknown"
	for m, err := range msgs {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read bucket of gateways: %w", err)
		}
		left = m.Header.Get("Nats-Num-Pending")
		beat := new(configv1.GatewayBeat)
		id := strings.TrimPrefix(m.Subject, prefix)
		if len(m.Data) == 0 || proto.Unmarshal(m.Data, beat) != nil || beat.GetId() != id {
			continue // a marker of one that was deleted or has expired
		}
		out[id] = listed{beat: beat, revision: m.Sequence, written: m.Time}
	}
	if left != "0" { // the answers end without an error when time is up
		return nil, fmt.Errorf("read bucket of gateways: %s more", left)
	}
	return out, nil
}

// hear takes a beat that came at a moment.
func (t *Tracker) hear(beat *configv1.GatewayBeat, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := beat.GetId()
	if t.gone[id] == beat.GetInstance() && id != "" && beat.GetInstance() != "" {
		return // it was on its way when the gateway signed off
	}
	e := t.entries[id]
	if e != nil && t.live(e, at) && older(beat, e.beat) {
		return
	}
	if beat.GetSigningOff() {
		delete(t.entries, id)
		t.gone[id] = beat.GetInstance()
		t.broadcast()
		return
	}
	if e == nil {
		e = new(entry)
		t.entries[id] = e
	}
	e.beat = beat
	if at.After(e.heard) {
		e.heard = at
	}
	t.broadcast()
}

// older tells whether a beat says less than the one we have: of an earlier instance, or earlier of the same. It
// goes by the gateway's clock, which may be put back, so it is only asked while the one we have is fresh.
func older(beat, than *configv1.GatewayBeat) bool {
	if beat.GetInstance() != than.GetInstance() {
		return beat.GetStartedAt().AsTime().Before(than.GetStartedAt().AsTime())
	}
	return beat.GetAt().AsTime().Before(than.GetAt().AsTime())
}

// take takes what the bucket holds. Who is not in it, and was not heard for long, is off the list.
func (t *Tracker) take(bucket map[string]listed, now time.Time) {
	long := t.opts.ListedFor()
	for id, l := range bucket {
		t.mu.Lock()
		e := t.entries[id]
		known := e != nil && e.entry == l.revision
		t.mu.Unlock()
		if known {
			continue
		}
		// When it was written, by the server's clock and never in our future: the bucket may not have been
		// readable for long.
		t.hear(l.beat, now.Add(-max(0, now.Sub(l.written))))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.entries {
		e.entry = bucket[id].revision
		if e.entry == 0 && now.Sub(e.heard) >= long {
			delete(t.entries, id)
		}
	}
	for id := range t.gone {
		if _, there := bucket[id]; !there {
			delete(t.gone, id)
		}
	}
	t.loaded = true
	t.broadcast()
}

// broadcast wakes who waits; it needs mu.
func (t *Tracker) broadcast() {
	close(t.changed)
	t.changed = make(chan struct{})
}
