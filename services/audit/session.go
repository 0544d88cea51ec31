package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// gatherRows is how many rows are worth a transaction of their own.
const gatherRows = 5000

// session is one spell of being the active consumer: from getting the lock to the first thing that goes wrong.
type session struct {
	*ingest
	ledger     ledger
	stream     jetstream.Stream
	reconnects uint64                  // of the connection, before the stream was looked at
	purged     uint64                  // messages below it are gone from the stream
	heard      map[sourceKey]time.Time // when records of a source came last
	told       time.Time               // when every source was told again
}

// session consumes until something goes wrong or, once draining is closed, the stream's end is reached. It gives
// whether it ever became the active consumer.
func (in *ingest) session(ctx context.Context, draining <-chan struct{}) (active bool, err error) {
	conn, active, err := in.takeLock(ctx)
	if err != nil {
		return false, in.status.databaseAway(err)
	}
	defer release(conn)
	if !active {
		in.status.standBy()
		return false, nil
	}
	in.status.databaseBack()
	s := &session{ingest: in, heard: map[sourceKey]time.Time{}, ledger: ledger{
		log: in.log, conn: conn.Conn(), limit: in.every.Transaction, stream: topology.StreamAudit,
		sources: map[sourceKey]source{}, partitions: partitions{log: in.log, size: in.partitionRows},
	}}
	if err := s.begin(ctx); err != nil {
		return true, err
	}
	return true, s.consume(ctx, draining)
}

// takeLock gives a connection, and whether it is the active consumer's until it is released.
func (in *ingest) takeLock(ctx context.Context) (conn *pgxpool.Conn, active bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, in.every.Transaction)
	defer cancel()
	if conn, err = in.pool.Acquire(ctx); err != nil {
		return nil, false, err
	}
	if err = setUp(ctx, conn.Conn(), in.every.Transaction); err == nil {
		active, err = tryActive(ctx, conn.Conn())
	}
	if err != nil {
		release(conn)
		return nil, false, err
	}
	return conn, active, nil
}

// release closes the connection, and so gives up the lock.
func release(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Conn().Close(ctx)
	conn.Release()
}

// begin finds out where to go on.
func (s *session) begin(ctx context.Context) error {
	s.reconnects = s.js.Conn().Stats().Reconnects
	at, err := lookAt(ctx, s.js, s.every.Attempt)
	if err != nil {
		return s.status.streamAway(err)
	}
	if err := s.ledger.load(ctx, at); err != nil {
		return s.status.databaseAway(err)
	}
	if at, err = s.reset(ctx, at); err != nil {
		return err
	}
	recent, err := s.ledger.recent(ctx)
	if err != nil {
		return s.status.databaseAway(fmt.Errorf("read sources: %w", err))
	}
	for _, key := range recent {
		s.heard[key] = time.Now()
	}
	if err := s.count(ctx); err != nil {
		return err
	}
	s.stream = at.stream
	s.status.begin(s.ledger.lastSeq, at.last)
	s.log.LogAttrs(ctx, slog.LevelInfo, "audit stream is read", slog.Uint64("from", s.ledger.lastSeq+1), slog.Uint64("to", at.last),
		slog.Int64("last_id", s.ledger.lastID))
	return nil
}

// consume moves what the reader reads into the database.
func (s *session) consume(ctx context.Context, draining <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	read := make(chan []message, 1) // one transaction is prepared while another one commits
	ended := make(chan error, 1)
	r := &reader{js: s.js, stream: s.stream, log: s.log, every: s.every, missed: s.meters.missed, next: s.ledger.lastSeq + 1}
	go func() {
		ended <- r.run(ctx, draining, read)
		close(read)
	}()
	var side sync.WaitGroup
	side.Go(func() { s.seal(ctx) })
	for _, c := range s.copies {
		side.Go(func() { c.Run(ctx) })
	}
	err := s.work(ctx, read)
	cancel()
	for range read { // until the reader has ended
	}
	side.Wait()
	if readErr := <-ended; readErr != nil && err == nil {
		err = s.status.streamAway(readErr)
	}
	return err
}

// work stores what is read until there is no more, checking now and then that all is as it should be.
func (s *session) work(ctx context.Context, read <-chan []message) error {
	check := time.NewTicker(s.every.Check)
	defer check.Stop()
	if err := s.check(ctx); err != nil {
		return err
	}
	for {
		select {
		case msgs, ok := <-read:
			if !ok {
				return nil
			}
			msgs = s.gather(msgs, read)
			if err := s.steady(); err != nil {
				return err
			}
			if err := s.ledger.store(ctx, msgs, func(p plan) { s.stored(ctx, p) }); err != nil {
				return s.status.databaseAway(err)
			}
		case <-check.C:
			if err := s.check(ctx); err != nil {
				return err
			}
		}
	}
}

// gather adds what is read within a short while, up to a good size for a transaction.
func (s *session) gather(msgs []message, read <-chan []message) []message {
	rows := 0
	for i := range msgs {
		rows += len(msgs[i].batch.GetRecords())
	}
	enough := time.NewTimer(s.every.Gather)
	defer enough.Stop()
	for rows < gatherRows {
		select {
		case more, ok := <-read:
			if !ok {
				return msgs
			}
			for i := range more {
				rows += len(more[i].batch.GetRecords())
			}
			msgs = append(msgs, more...)
		case <-enough.C:
			return msgs
		}
	}
	return msgs
}

// stored tells everybody what a transaction has done.
func (s *session) stored(ctx context.Context, p plan) {
	s.meters.stored(p)
	s.status.stored(s.ledger.lastSeq)
	for _, m := range p.rejected {
		s.log.LogAttrs(ctx, slog.LevelError, "audit message rejected", slog.Uint64("sequence", m.seq),
			slog.String("subject", m.subject), slog.String("reason", m.poison))
	}
	for _, g := range p.gaps {
		s.log.LogAttrs(ctx, slog.LevelWarn, "audit records are missing", slog.String("gateway", g.gateway),
			slog.Uint64("epoch", g.epoch), slog.Uint64("from", g.first), slog.Uint64("to", g.last))
	}
	for key, n := range p.contradicted() {
		s.log.LogAttrs(ctx, slog.LevelError, "audit records contradict those with the same numbers", slog.String("gateway", key.gateway),
			slog.Uint64("epoch", key.epoch), slog.Int("records", n))
	}
	now := time.Now()
	for key, after := range p.sources {
		s.heard[key] = now
		s.tell(key, after)
	}
}

// tell says to a gateway what is committed. It is told at most once, and therefore again by check.
func (s *session) tell(key sourceKey, at source) {
	n, missingTo := at.mark()
	body, err := proto.Marshal(&auditv1.Committed{Epoch: key.epoch, N: n, MissingTo: missingTo})
	if err == nil {
		_ = s.js.Conn().Publish(topology.AuditCommitted+"."+key.gateway, body)
	}
}

// check makes sure that the stream and the database are still what they were, purges what is committed, and
// repeats what gateways may have missed.
func (s *session) check(ctx context.Context) error {
	if err := s.ledger.alive(ctx); err != nil {
		return s.status.databaseAway(err)
	}
	at, err := lookAt(ctx, s.js, s.every.Attempt)
	if err != nil {
		return s.status.streamAway(err)
	}
	same := at.created.Equal(s.ledger.incarnation)
	if same {
		same, err = s.same(ctx, at)
	}
	if err != nil {
		return s.status.streamAway(err)
	}
	if !same { // or so it seems: the next session makes sure of it before it does anything
		return s.status.streamAway(errStreamChanged)
	}
	s.status.seen(at)
	if committed := s.ledger.lastSeq + 1; s.purged < committed && at.first < committed {
		try, cancel := context.WithTimeout(ctx, s.every.Attempt)
		defer cancel()
		if err := at.stream.Purge(try, jetstream.WithPurgeSequence(committed)); err != nil {
			return s.status.streamAway(fmt.Errorf("purge stream %s: %w", topology.StreamAudit, err))
		}
		s.purged = committed
	}
	return s.tellAll(ctx)
}

// tellAll repeats, now and then, what gateways may have missed.
func (s *session) tellAll(ctx context.Context) error {
	now := time.Now()
	if now.Sub(s.told) < s.every.Marks {
		return nil
	}
	s.told = now
	for key, heard := range s.heard {
		if at, ok := s.ledger.sources[key]; ok && now.Sub(heard) < time.Hour {
			s.tell(key, at)
		} else {
			delete(s.heard, key)
		}
	}
	return s.count(ctx)
}

// count brings the numbers of what is missing, was rejected or contradicts up to date.
func (s *session) count(ctx context.Context) error {
	n, err := s.ledger.count(ctx)
	if err != nil {
		return s.status.databaseAway(fmt.Errorf("count holes: %w", err))
	}
	s.status.counted(n)
	return nil
}
