package audittrail

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

const (
	batchRecords = 256
	batchBytes   = 512 << 10 // half of what NATS takes in one message
	// maxWaiting and maxWaitingBytes bound what waits for the stream.
	maxWaiting      = 10_000
	maxWaitingBytes = 64 << 20
	attempt         = 2 * time.Second // of publishing a batch
	again           = 100 * time.Millisecond
)

// Recorder takes records of what no gateway writes to the stream AUDIT: in order, numbered without a gap, chained. It
// keeps them in memory until the stream has acknowledged them, so what waits is lost with the process; a batch whose
// fate is unclear is sent again as it was, so nothing is doubled. Every Recorder is an epoch of its own, and its chain
// begins with none before it. It is safe for concurrent use.
type Recorder struct {
	js    jetstream.JetStream
	log   *slog.Logger
	name  string
	epoch uint64
	wake  chan struct{} // of one: there is something to ship

	mu      sync.Mutex
	waiting []*entry // what is being sent too
	bytes   int      // of waiting
	closed  bool
}

// entry is a record that waits.
type entry struct {
	record *auditv1.Record
	size   int
	done   chan error // of one
}

// parcel is records on their way, always the same under the same id.
type parcel struct {
	id    string
	body  []byte
	count int
	hash  Hash // behind the last
}

// NewRecorder gives the recorder of a name that no gateway may have, such as FromConfig. Nothing is sent before Run.
func NewRecorder(js jetstream.JetStream, log *slog.Logger, name string) *Recorder {
	return &Recorder{
		js: js, log: log, name: name, wake: make(chan struct{}, 1),
		epoch: uint64(time.Now().UnixNano()),
	}
}

// Record gives a record to the trail and returns once the stream has it. The record is not changed; one without a
// time is of now. An error is a fault Unavailable: when ctx has ended first, the record waits and goes out as soon as
// NATS takes it; when too many wait, or Run has ended, it never will.
func (r *Recorder) Record(ctx context.Context, record *auditv1.Record) error {
	e, err := newEntry(record)
	if err != nil {
		return err
	}
	if err := r.add(e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-e.done: // both at once
		return err
	default:
		return fault.Wrap(fault.Unavailable, "the audit trail has not taken it yet", context.Cause(ctx))
	}
}

// Post is Record for what nobody waits for: it returns at once. An error is a fault Unavailable and says that the
// record is not taken.
func (r *Recorder) Post(record *auditv1.Record) error {
	e, err := newEntry(record)
	if err != nil {
		return err
	}
	return r.add(e)
}

func newEntry(record *auditv1.Record) (*entry, error) {
	record = proto.CloneOf(record)
	if record.GetTime() == 0 {
		record.Time = uint64(time.Now().UnixNano())
	}
	Clean(record)
	encoded, err := Encode(nil, record)
	if err != nil { // only for a text that Clean does not know
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	return &entry{record: record, size: len(encoded), done: make(chan error, 1)}, nil
}

func (r *Recorder) add(e *entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return fault.New(fault.Unavailable, "the audit trail is closed: this process ends")
	case len(r.waiting) >= maxWaiting || r.bytes+e.size > maxWaitingBytes:
		return fault.New(fault.Unavailable, "the audit trail is full: the audit stream takes nothing")
	}
	r.waiting = append(r.waiting, e)
	r.bytes += e.size
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run ships what waits until ctx ends, and then what is left and still comes until nothing is, for at most grace.
// What could not be shipped is logged and its Record told. It must run once.
func (r *Recorder) Run(ctx context.Context, grace time.Duration) {
	var p *parcel
	first, hash := uint64(1), Genesis(Hash{}, r.name, r.epoch)
	ship := func(ctx context.Context) (shipped bool) {
		if p == nil {
			p = r.pack(ctx, first, hash)
		}
		if p == nil || !r.publish(ctx, p) {
			return false
		}
		r.shipped(p.count)
		first, hash, p = first+uint64(p.count), p.hash, nil //nolint:gosec // at most batchRecords
		return true
	}
	for ctx.Err() == nil {
		if ship(ctx) {
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for !r.empty() && ship(last) {
	}
	r.close(last)
}

// Start runs it in the background, also after ctx has ended, until the function that it gives is called; that one
// returns once Run has. So what is recorded while a process ends is not forgotten.
func (r *Recorder) Start(ctx context.Context, grace time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx, grace)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// pack makes a parcel of the first of what waits; nil when nothing does.
func (r *Recorder) pack(ctx context.Context, first uint64, prev Hash) *parcel {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &auditv1.Batch{Gateway: r.name, Epoch: r.epoch, First: first, Oldest: first, PrevHash: prev[:]}
	hash, size := prev, 0
	var encoded []byte
	for _, e := range r.waiting[:min(len(r.waiting), batchRecords)] {
		if size += e.size; size > batchBytes && len(b.GetRecords()) > 0 {
			break
		}
		encoded, _ = Encode(encoded[:0], e.record) // did not fail in newEntry
		hash = Next(hash, encoded)
		b.Records = append(b.Records, e.record)
	}
	if len(b.GetRecords()) == 0 {
		return nil
	}
	b.Hash = hash[:]
	body, err := proto.Marshal(b)
	if err != nil {
		r.log.LogAttrs(ctx, slog.LevelError, "audit batch not encoded", slog.Any("error", err))
		return nil
	}
	count := len(b.GetRecords())
	id := fmt.Sprintf("%s.%d.%d-%d", r.name, r.epoch, first, first+uint64(count)-1)
	return &parcel{id: id, body: body, count: count, hash: hash}
}

// publish tries until the stream has the parcel, or ctx has ended.
func (r *Recorder) publish(ctx context.Context, p *parcel) bool {
	failing := false
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, attempt)
		_, err := r.js.Publish(try, topology.AuditIn(r.name), p.body, jetstream.WithMsgID(p.id),
			jetstream.WithExpectStream(topology.StreamAudit), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			if failing {
				r.log.LogAttrs(ctx, slog.LevelInfo, "audit records are taken again", slog.String("source", r.name))
			}
			return true
		}
		if !failing && ctx.Err() == nil {
			r.log.LogAttrs(ctx, slog.LevelWarn, "audit records are not taken; they wait", slog.String("source", r.name), slog.Any("error", err))
			failing = true
		}
		pause := time.NewTimer(again)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return false
}

// shipped tells those whose records the stream has.
func (r *Recorder) shipped(count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.waiting[:count] {
		e.done <- nil
		r.bytes -= e.size
		r.waiting[i] = nil
	}
	r.waiting = r.waiting[count:]
}

// empty closes the recorder when nothing waits, and tells whether it did.
func (r *Recorder) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = r.closed || len(r.waiting) == 0
	return r.closed
}

// close takes nothing more, and gives up what waits.
func (r *Recorder) close(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if len(r.waiting) > 0 {
		r.log.LogAttrs(ctx, slog.LevelError, "audit records not shipped", slog.String("source", r.name), slog.Int("records", len(r.waiting)))
	}
	for _, e := range r.waiting {
		e.done <- fault.New(fault.Unavailable, "the audit trail did not take it before this process ended")
	}
	r.waiting, r.bytes = nil, 0
}
