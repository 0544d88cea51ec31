package topology

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Limits are what differs between one node and a cluster.
type Limits struct {
	// Replicas of every stream: 1 on a single server, 3 in a cluster. 0 means 1.
	Replicas int
	// AuditBytes bounds stream AUDIT; 0 means 4 GiB. A full stream refuses, so nothing is lost.
	AuditBytes int64
	// GatewayTTL is how long a silent gateway stays on the list; 0 means 5 min 5 s.
	GatewayTTL time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Replicas == 0 {
		l.Replicas = 1
	}
	if l.AuditBytes == 0 {
		l.AuditBytes = 4 << 30
	}
	if l.GatewayTTL == 0 {
		l.GatewayTTL = 5*time.Minute + 5*time.Second
	}
	return l
}

// Ensure makes every stream and bucket that is missing and brings the limits of the others up to date. It
// may be called by several services at once, and again at any time.
func Ensure(ctx context.Context, js jetstream.JetStream, limits Limits) error {
	limits = limits.withDefaults()
	for _, s := range Streams(limits) {
		if _, err := js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("ensure stream %s: %w", s.Name, err)
		}
	}
	for _, b := range Buckets(limits) {
		if err := ensureBucket(ctx, js, b); err != nil {
			return fmt.Errorf("ensure bucket %s: %w", b.Bucket, err)
		}
	}
	return nil
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, b jetstream.KeyValueConfig) error {
	_, err := js.CreateOrUpdateKeyValue(ctx, b)
	if errors.Is(err, jetstream.ErrBucketExists) {
		return nil
	}
	return err
}

// Streams gives every stream as it should be.
func Streams(limits Limits) []jetstream.StreamConfig {
	limits = limits.withDefaults()
	logStream := func(name, subject, live string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: []string{subject},
			Storage: jetstream.FileStorage, Replicas: limits.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			DenyDelete: true, DenyPurge: true, AllowDirect: true,
			Duplicates: 2 * time.Minute,
			RePublish:  &jetstream.RePublish{Source: subject, Destination: live},
		}
	}
	config := ConfigLog()
	return []jetstream.StreamConfig{
		logStream(config.Name, config.Subject, config.Live),
		logStream(StreamTokens, "log.tokens.>", "live.tokens.>"),
		{
			Name: StreamAudit, Subjects: []string{AuditIn("*")},
			Storage: jetstream.FileStorage, Replicas: limits.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: limits.AuditBytes,
			DenyDelete: true, AllowDirect: true, Duplicates: 2 * time.Minute,
		},
		{
			Name: StreamRate, Subjects: []string{"rate.t.>"},
			Storage: jetstream.MemoryStorage, Replicas: limits.Replicas,
			Retention: jetstream.LimitsPolicy, MaxMsgsPerSubject: 1, AllowMsgCounter: true, AllowDirect: true,
			Duplicates: 100 * time.Millisecond, MaxAge: 2 * time.Hour,
		},
	}
}

// Buckets gives every key-value bucket as it should be.
func Buckets(limits Limits) []jetstream.KeyValueConfig {
	limits = limits.withDefaults()
	return []jetstream.KeyValueConfig{
		{Bucket: BucketSecrets, History: 1, Storage: jetstream.FileStorage, Replicas: limits.Replicas, MaxValueSize: 64 << 10},
		{Bucket: BucketGateways, History: 1, Storage: jetstream.FileStorage, Replicas: limits.Replicas, TTL: limits.GatewayTTL, LimitMarkerTTL: time.Minute},
	}
}
