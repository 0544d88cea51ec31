package gateway

import (
	"context"
	"log/slog"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// beat tells config that this gateway is there and what it decides under: over core NATS at once when a
// configuration or a change of API tokens was taken and each second, and in a bucket each half minute, so that config knows of a silent
// gateway even after its own restart.
type beat struct {
	gw       *gateway
	js       jetstream.JetStream
	id       string
	instance string
	since    *timestamppb.Timestamp
}

func newBeat(g *gateway, js jetstream.JetStream, id string) *beat {
	return &beat{gw: g, js: js, id: id, instance: newRequestID(), since: timestamppb.Now()}
}

// run beats from the first configuration until ctx ends, and then signs off.
func (b *beat) run(ctx context.Context) {
	if _, err := b.gw.follower.AtLeast(ctx, 0); err != nil {
		return
	}
	const enlist = 30 * time.Second
	var enlisted time.Time
	next := time.NewTicker(time.Second)
	defer next.Stop()
	for ctx.Err() == nil {
		config, tokens := b.gw.follower.Changed(), b.gw.tokens.Changed()
		b.say(ctx, false)
		if time.Since(enlisted) > enlist && b.enlist(ctx) {
			enlisted = time.Now()
		}
		select {
		case <-ctx.Done():
		case <-config:
		case <-tokens:
		case <-next.C:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if bucket, err := b.js.KeyValue(last, topology.BucketGateways); err == nil {
		_ = bucket.Delete(last, b.id)
	}
	b.say(last, true)
}

func (b *beat) message(signingOff bool) ([]byte, error) {
	status := b.gw.follower.Status()
	m := &configv1.GatewayBeat{
		Id: b.id, Instance: b.instance, Version: service.Version, FactLevel: configlog.FactLevel,
		BlockedAt: status.BlockedAt, Trouble: status.Trouble, StartedAt: b.since, At: timestamppb.Now(), SigningOff: signingOff,
	}
	if p := b.gw.plan.Load(); p != nil {
		m.Sequence, m.Hash = p.state.Seq, p.state.Hash[:]
	}
	tokens, ok := b.gw.tokens.State()
	m.TokenSequence, m.TokenHash, m.TokenTrouble = tokens.Seq, tokens.Hash[:], b.gw.tokens.Status().Trouble
	if !ok && m.GetTokenTrouble() == "" {
		m.TokenTrouble = "the log of tokens is not read yet"
	}
	return proto.Marshal(m)
}

func (b *beat) say(ctx context.Context, signingOff bool) {
	body, err := b.message(signingOff)
	if err == nil {
		err = b.js.Conn().Publish(topology.GatewayBeat(b.id), body)
	}
	if err == nil && signingOff {
		err = b.js.Conn().FlushWithContext(ctx)
	}
	if err != nil {
		b.gw.log.LogAttrs(ctx, slog.LevelDebug, "beat not sent", slog.Any("error", err))
	}
}

func (b *beat) enlist(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	body, err := b.message(false)
	if err != nil {
		return false
	}
	bucket, err := b.js.KeyValue(ctx, topology.BucketGateways)
	if err == nil {
		_, err = bucket.Put(ctx, b.id, body)
	}
	return err == nil
}
