package spool

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// Shipper takes the records of a spool to the stream AUDIT, in order, and cuts the spool below what the audit service
// says Postgres has. Records that the stream has lost are sent again when it asks for them; when it says nothing for a
// while, the last one is sent again, which it answers.
type Shipper struct {
	spool *Spool
	js    jetstream.JetStream
	log   *slog.Logger
	// Remind is how long to wait for news of what is committed before the last record is sent again; default 5 s, and
	// twice as long each time.
	Remind time.Duration
	// Insist has it wait in the end until all is committed, also when nobody says what is.
	Insist bool

	mu     sync.Mutex
	heard  time.Time         // when the audit service said something last
	moved  time.Time         // when something was committed last, or first waited for
	remind time.Duration     // how long to wait next
	asked  map[uint64]asking // by epoch
}

// asking is what the audit service wants again, and when it got that last.
type asking struct {
	first, last uint64 // 0: nothing
	sentFirst   uint64
	sentAt      time.Time
}

// NewShipper makes one for a spool.
func NewShipper(s *Spool, js jetstream.JetStream, log *slog.Logger) *Shipper {
	return &Shipper{spool: s, js: js, log: log, Remind: 5 * time.Second, remind: 5 * time.Second, asked: map[uint64]asking{}}
}

// Backlog is how many records the stream does not have, Uncommitted how many Postgres is not known to have.
func (s *Spool) Backlog() (toShip, uncommitted int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.toShip, s.uncommitted(s.mark.Committed)
}

// Run ships until ctx ends, and then finishes within grace. What is left in the end is for the next process.
func (h *Shipper) Run(ctx context.Context, grace time.Duration) error {
	return h.run(ctx, func() {
		h.loop(ctx, func() bool { return ctx.Err() != nil })
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		h.finish(last)
	})
}

// Finish ships what is there and waits until that is committed, at most until ctx ends.
func (h *Shipper) Finish(ctx context.Context) error {
	return h.run(ctx, func() { h.finish(ctx) })
}

// run does something while the spool is tended and the audit service is listened to.
func (h *Shipper) run(ctx context.Context, do func()) error {
	tending, endTending := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { h.spool.tend(tending) })
	defer work.Wait()
	defer endTending()
	sub, err := h.js.Conn().Subscribe(topology.AuditCommitted+"."+h.spool.Gateway(), h.committed)
	if err != nil {
		return fmt.Errorf("subscribe to what is committed: %w", err)
	}
	do()
	return sub.Unsubscribe()
}

// finish ships what is left, and waits until that is committed as long as somebody says what is.
func (h *Shipper) finish(ctx context.Context) {
	_ = h.spool.sync() // what it says of the disk, the spool says too
	h.loop(ctx, func() bool { return ctx.Err() != nil || h.done() })
	if toShip, uncommitted := h.spool.Backlog(); uncommitted > 0 {
		h.log.LogAttrs(ctx, slog.LevelWarn, "audit records stay in the spool for the next start",
			slog.Int64("not_in_the_stream", toShip), slog.Int64("not_known_to_be_committed", uncommitted))
	}
}

// done tells whether nothing is left to do: all is committed, or all is in the stream and nobody says what is committed.
func (h *Shipper) done() bool {
	toShip, uncommitted := h.spool.Backlog()
	h.mu.Lock()
	defer h.mu.Unlock()
	return uncommitted == 0 || toShip == 0 && !h.Insist && time.Since(h.heard) > 3*h.Remind
}

// loop ships, answers what is asked for, cuts and saves until it is to end.
func (h *Shipper) loop(ctx context.Context, end func() bool) {
	often := time.NewTicker(min(h.Remind/10, time.Second))
	defer often.Stop()
	for !end() {
		h.ship(ctx)
		h.answer(ctx)
		select {
		case <-h.spool.ready:
			continue
		case <-often.C:
		case <-ctx.Done():
		}
		h.reminder(ctx)
		h.spool.cut()
		h.spool.saveMark()
	}
}

// ship publishes what is synced and not in the stream yet.
func (h *Shipper) ship(ctx context.Context) {
	for ctx.Err() == nil {
		b, upTo, err := h.spool.unshipped()
		if err != nil {
			h.log.LogAttrs(ctx, slog.LevelError, "audit spool cannot be read", slog.Any("error", err))
			return
		}
		if b.last > 0 && h.publish(ctx, b, "") != nil {
			return
		}
		h.spool.shipped(b, upTo)
		if b.last == 0 {
			return
		}
	}
}

// shipped notes that the stream has everything before a place.
func (s *Spool) shipped(b batch, upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark.Shipped = max(s.mark.Shipped, upTo)
	if b.last > 0 {
		s.toShip -= int64(b.last - b.first + 1) //nolint:gosec // at most batchRecords
	}
}

// publish tries until the stream has the batch. The same id is the same records; again makes it another one.
func (h *Shipper) publish(ctx context.Context, b batch, again string) error {
	id := fmt.Sprintf("%s.%d.%d-%d%s", h.spool.Gateway(), b.epoch, b.first, b.last, again)
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := h.js.PublishMsg(try, &nats.Msg{Subject: topology.AuditIn(h.spool.Gateway()), Data: b.data}, jetstream.WithMsgID(id),
			jetstream.WithExpectStream(topology.StreamAudit), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			return nil
		}
		h.log.LogAttrs(ctx, slog.LevelDebug, "audit batch not taken", slog.Any("error", err))
		later := time.NewTimer(100 * time.Millisecond)
		select {
		case <-later.C:
		case <-ctx.Done():
			later.Stop()
			return context.Cause(ctx)
		}
	}
}

// committed takes what the audit service says.
func (h *Shipper) committed(m *nats.Msg) {
	said := new(auditv1.Committed)
	if proto.Unmarshal(m.Data, said) != nil {
		return
	}
	news := h.spool.commit(said.GetEpoch(), said.GetN())
	h.mu.Lock()
	h.heard = time.Now()
	if news {
		h.moved, h.remind = h.heard, h.Remind
	}
	ask := h.asked[said.GetEpoch()]
	ask.first, ask.last = 0, 0
	if said.GetMissingTo() > said.GetN() {
		ask.first, ask.last = said.GetN()+1, said.GetMissingTo()
	}
	h.asked[said.GetEpoch()] = ask
	h.mu.Unlock()
	if ask.last > 0 {
		wake(h.spool.ready)
	}
}

// answer sends again what the audit service has asked for, and not the same within two seconds.
func (h *Shipper) answer(ctx context.Context) {
	h.mu.Lock()
	due := map[uint64]asking{}
	for epoch, ask := range h.asked {
		if ask.last > 0 && (ask.first != ask.sentFirst || time.Since(ask.sentAt) > 2*time.Second) {
			due[epoch] = ask
			h.asked[epoch] = asking{sentFirst: ask.first, sentAt: time.Now()}
		}
	}
	h.mu.Unlock()
	for epoch, ask := range due {
		h.log.LogAttrs(ctx, slog.LevelWarn, "audit records were lost on the way and are sent again", slog.Uint64("epoch", epoch),
			slog.Uint64("from", ask.first), slog.Uint64("to", ask.last))
		h.sendAgain(ctx, epoch, ask.first, ask.last)
	}
}

// sendAgain sends records again; it stops after a while, because the audit service asks for the rest.
func (h *Shipper) sendAgain(ctx context.Context, epoch, first, last uint64) {
	for range 64 {
		b, err := h.spool.again(epoch, first, last)
		if err != nil || b.last == 0 || h.publish(ctx, b, fmt.Sprintf("/%d", time.Now().UnixNano())) != nil || b.last >= last {
			return
		}
		first = b.last + 1
	}
}

// reminder sends the last record of each epoch again when nothing was heard of it for a while.
func (h *Shipper) reminder(ctx context.Context) {
	toShip, uncommitted := h.spool.Backlog()
	h.mu.Lock()
	now := time.Now()
	if uncommitted == 0 || h.moved.IsZero() {
		h.moved, h.remind = now, h.Remind
	}
	due := toShip == 0 && now.Sub(h.moved) > h.remind
	if due {
		h.moved, h.remind = now, min(2*h.remind, 5*time.Minute)
	}
	h.mu.Unlock()
	if !due {
		return
	}
	for epoch, last := range h.spool.waiting() {
		h.sendAgain(ctx, epoch, last, last)
	}
}

// waiting gives the last record of each epoch of which not all is committed.
func (s *Spool) waiting() map[uint64]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[uint64]uint64{}
	for epoch, last := range s.last {
		if last > s.mark.Committed[epoch] {
			all[epoch] = last
		}
	}
	return all
}
