package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// Limits are what differs between one node and a cluster.
type Limits struct {
	// Replicas of every stream: 1 on a single server, 3 in a cluster. 0 means 1.
	Replicas int
	// AuditBytes bounds stream AUDIT, and the server reserves as much; 0 means 4 GiB, or where the server has less
	// than that, about half of what it has, 64 MiB at least. A full stream refuses, so nothing is lost.
	AuditBytes int64
	// GatewayTTL is how long a silent gateway stays on the list; 0 means 5 min 5 s.
	GatewayTTL time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.Replicas == 0 {
		l.Replicas = 1
	}
	if l.GatewayTTL == 0 {
		l.GatewayTTL = 5*time.Minute + 5*time.Second
	}
	return l
}

const (
	auditBytes      = 4 << 30
	leastAuditBytes = 64 << 20
)

// Ensure makes every stream and bucket that is missing and brings the limits of the others up to date. One that
// cannot be made keeps no other from being made. It may be called by several services at once, and again at any
// time.
func Ensure(ctx context.Context, js jetstream.JetStream, limits Limits) error {
	limits = limits.withDefaults()
	var all []error
	for _, s := range Streams(limits) {
		_, err := js.CreateOrUpdateStream(ctx, s)
		if s.Name == StreamAudit && limits.AuditBytes == 0 && noRoom(err) {
			err = ensureSmaller(ctx, js, s)
		}
		if err != nil {
			all = append(all, fmt.Errorf("ensure stream %s: %w", s.Name, err))
		}
	}
	for _, b := range Buckets(limits) {
		if err := ensureBucket(ctx, js, b); err != nil {
			all = append(all, fmt.Errorf("ensure bucket %s: %w", b.Bucket, err))
		}
	}
	return errors.Join(all...)
}

// ensureSmaller makes a stream with half of what the server can reserve; one that is there keeps what it has.
func ensureSmaller(ctx context.Context, js jetstream.JetStream, s jetstream.StreamConfig) error {
	if there, err := js.Stream(ctx, s.Name); err == nil {
		s.MaxBytes = there.CachedInfo().Config.MaxBytes
		_, err = js.UpdateStream(ctx, s)
		return err
	}
	for s.MaxBytes > 2*leastAuditBytes {
		s.MaxBytes /= 2
		if _, err := js.CreateOrUpdateStream(ctx, s); !noRoom(err) {
			break
		}
	}
	s.MaxBytes /= 2 // and as much is left for the other streams
	_, err := js.CreateOrUpdateStream(ctx, s)
	return err
}

// noRoom tells whether a server, or every server of a cluster, cannot reserve the bytes of a stream.
func noRoom(err error) bool {
	const noStorage, noPeers jetstream.ErrorCode = 10047, 10005 // JSStorageResourcesExceededErr, JSClusterNoPeersErrF
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == noStorage || refused.ErrorCode == noPeers)
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
	logStream := func(log eventlog.Stream) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: log.Name, Subjects: []string{log.Subject},
			Storage: jetstream.FileStorage, Replicas: limits.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			DenyDelete: true, DenyPurge: true, AllowDirect: true,
			Duplicates: 2 * time.Minute,
			RePublish:  &jetstream.RePublish{Source: log.Subject, Destination: log.Live},
		}
	}
	return []jetstream.StreamConfig{
		logStream(ConfigLog()),
		logStream(TokenLog()),
		{
			Name: StreamAudit, Subjects: []string{AuditIn("*")},
			Storage: jetstream.FileStorage, Replicas: limits.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: cmp.Or(limits.AuditBytes, auditBytes),
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
