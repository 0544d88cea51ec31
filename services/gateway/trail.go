package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// trail takes the record of every call to the audit stream, in order, numbered without a gap. Records wait in
// memory until the stream has acknowledged them.
type trail struct {
	js      jetstream.JetStream
	log     *slog.Logger
	gateway string
	epoch   uint64
	limit   int64 // records that may wait

	waiting atomic.Int64
	wake    chan struct{}

	mu      sync.Mutex
	pending []*auditv1.Record
}

const (
	batchRecords = 256
	batchBytes   = 512 << 10 // half of what NATS takes in one message; a record has about 20 KiB at the most
	batchGather  = 5 * time.Millisecond
)

func newTrail(js jetstream.JetStream, log *slog.Logger, gateway string, limit int64) *trail {
	return &trail{
		js: js, log: log, gateway: gateway, limit: limit, wake: make(chan struct{}, 1),
		epoch: uint64(time.Now().UnixNano()),
	}
}

// full tells that no call should be begun, because its record might not be kept.
func (t *trail) full() bool { return t.waiting.Load() >= t.limit }

// add takes a record; it never waits.
func (t *trail) add(r *auditv1.Record) {
	t.waiting.Add(1)
	t.mu.Lock()
	t.pending = append(t.pending, r)
	first := len(t.pending) == 1
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *trail) take() []*auditv1.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	records := t.pending
	t.pending = nil
	return records
}

// run ships records until ctx ends, and then what is left, for at most grace.
func (t *trail) run(ctx context.Context, grace time.Duration) {
	first := uint64(1)
	for ctx.Err() == nil {
		select {
		case <-t.wake:
		case <-ctx.Done():
		}
		gather := time.NewTimer(batchGather)
		select {
		case <-gather.C:
		case <-ctx.Done():
			gather.Stop()
		}
		if ctx.Err() == nil {
			first = t.ship(ctx, first, t.take())
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	t.ship(last, first, t.take())
	if left := t.waiting.Load(); left > 0 {
		t.log.LogAttrs(last, slog.LevelError, "audit records not shipped", slog.Int64("records", left))
	}
}

// ship publishes records in batches and gives the number of the next record. What cannot be published before
// ctx ends goes back to the front of the line.
func (t *trail) ship(ctx context.Context, first uint64, records []*auditv1.Record) uint64 {
	for len(records) > 0 {
		n := batchOf(records)
		if err := t.publish(ctx, first, records[:n]); err != nil {
			t.mu.Lock()
			t.pending = append(records, t.pending...)
			t.mu.Unlock()
			return first
		}
		t.waiting.Add(-int64(n))
		first += uint64(n) //nolint:gosec // at most batchRecords
		records = records[n:]
	}
	return first
}

// batchOf gives how many of the records, one at least, make a batch.
func batchOf(records []*auditv1.Record) int {
	size := 0
	for i, r := range records[:min(len(records), batchRecords)] {
		if size += proto.Size(r); size > batchBytes {
			return max(i, 1)
		}
	}
	return min(len(records), batchRecords)
}

// publish tries until the stream has the batch. The same id is the same records, first to last.
func (t *trail) publish(ctx context.Context, first uint64, records []*auditv1.Record) error {
	body, err := proto.Marshal(&auditv1.Batch{Gateway: t.gateway, Epoch: t.epoch, First: first, Records: records})
	if err != nil {
		return fmt.Errorf("encode audit batch: %w", err)
	}
	last := first + uint64(len(records)) - 1
	id := fmt.Sprintf("%s.%d.%d-%d", t.gateway, t.epoch, first, last)
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = t.js.Publish(try, topology.AuditIn(t.gateway), body, jetstream.WithMsgID(id),
			jetstream.WithExpectStream(topology.StreamAudit), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			return nil
		}
		t.log.LogAttrs(ctx, slog.LevelDebug, "audit batch not taken", slog.Any("error", err))
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return context.Cause(ctx)
		}
	}
}
