package logcopy

import (
	"context"
	"fmt"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
)

// outbox sends the records of commits to the trail. They are in the database with their commits, and stay there until
// the trail has them; so none is lost, whatever is killed, and those that are sent again are the same.
type outbox struct {
	pending bool              // some may wait
	sent    map[uint64]uint64 // by epoch: up to this number they are in the stream
	again   time.Time         // when those that the trail still does not have are sent again
	round   int               // times that was so: a stream drops what it has seen
}

const (
	outboxRecords = 256
	outboxBytes   = 512 << 10
)

// load finds out whether any wait.
func (o *outbox) load(ctx context.Context, c *Copy) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	o.sent, o.again = map[uint64]uint64{}, time.Now().Add(c.o.Resend)
	if err := c.o.Pool.QueryRow(ctx, c.o.Of.sql(`SELECT EXISTS (SELECT FROM {commit} WHERE record IS NOT NULL)`)).Scan(&o.pending); err != nil {
		return fmt.Errorf("read the records of commits: %w", err)
	}
	return nil
}

// send forgets what the trail has, and sends what it does not.
func (o *outbox) send(ctx context.Context, c *Copy) error {
	if !o.pending {
		return nil
	}
	if err := o.forget(ctx, c); err != nil {
		return err
	}
	if now := time.Now(); now.After(o.again) {
		clear(o.sent)
		o.again, o.round = now.Add(c.o.Resend), o.round+1
	}
	for {
		b, err := o.next(ctx, c)
		if err != nil || b == nil {
			return err
		}
		if err := o.publish(ctx, c, b); err != nil {
			return err
		}
		o.sent[b.GetEpoch()] = b.GetFirst() + uint64(len(b.GetRecords())) - 1
	}
}

// forget lets go of the records that the trail has.
func (o *outbox) forget(ctx context.Context, c *Copy) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	err := pgx.BeginFunc(ctx, c.o.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, c.o.Of.sql(`UPDATE {commit} c SET record = NULL FROM {log} l, audit.source s
			WHERE c.record IS NOT NULL AND l.epoch = c.epoch AND s.gateway = $1 AND s.epoch = c.epoch AND c.seq - l.base <= s.last_n
			AND NOT EXISTS (SELECT FROM audit.hole h WHERE h.gateway = $1 AND h.epoch = c.epoch AND c.seq - l.base BETWEEN h.first_n AND h.last_n)`),
			c.o.Of.source); err != nil {
			return err
		}
		return tx.QueryRow(ctx, c.o.Of.sql(`SELECT EXISTS (SELECT FROM {commit} WHERE record IS NOT NULL)`)).Scan(&o.pending)
	})
	if err != nil {
		return fmt.Errorf("look which commits the trail has: %w", err)
	}
	return nil
}

// next gives records that follow each other and were not sent; nil: there are none.
func (o *outbox) next(ctx context.Context, c *Copy) (*auditv1.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	epochs, sent := make([]int64, 0, len(o.sent)), make([]int64, 0, len(o.sent))
	for epoch, n := range o.sent {
		epochs, sent = append(epochs, number(epoch)), append(sent, number(n))
	}
	rows, err := c.o.Pool.Query(ctx, c.o.Of.sql(`SELECT c.epoch, c.seq - l.base, coalesce(p.chain, l.genesis), c.chain, c.record
		FROM {commit} c JOIN {log} l USING (epoch)
		LEFT JOIN {commit} p ON p.epoch = c.epoch AND p.seq = c.seq - 1
		LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS s (epoch, n) ON s.epoch = c.epoch
		WHERE c.record IS NOT NULL AND c.seq - l.base > coalesce(s.n, 0) ORDER BY c.epoch, c.seq LIMIT $3`), epochs, sent, outboxRecords)
	if err != nil {
		return nil, fmt.Errorf("read the records of commits: %w", err)
	}
	var b *auditv1.Batch
	var epoch, n uint64
	var prev, chain, encoded []byte
	size := 0
	_, err = pgx.ForEachRow(rows, []any{&epoch, &n, &prev, &chain, &encoded}, func() error {
		if b != nil && (epoch != b.GetEpoch() || n != b.GetFirst()+uint64(len(b.GetRecords())) || size+len(encoded) > outboxBytes) {
			return nil // of another batch
		}
		if b == nil {
			b = &auditv1.Batch{Gateway: c.o.Of.source, Epoch: epoch, First: n, PrevHash: prev}
		}
		r := &auditv1.Record{}
		if err := proto.Unmarshal(encoded, r); err != nil {
			return err
		}
		b.Records, b.Hash = append(b.Records, r), chain
		size += len(encoded)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the records of commits: %w", err)
	}
	return b, nil
}

// publish has the stream take a batch.
func (o *outbox) publish(ctx context.Context, c *Copy, b *auditv1.Batch) error {
	body, err := proto.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode records of commits: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Attempt)
	defer cancel()
	id := fmt.Sprintf("%s.%d.%d-%d.%d", b.GetGateway(), b.GetEpoch(), b.GetFirst(), b.GetFirst()+uint64(len(b.GetRecords()))-1, o.round)
	_, err = c.o.JetStream.Publish(ctx, topology.AuditIn(b.GetGateway()), body, jetstream.WithMsgID(id),
		jetstream.WithExpectStream(topology.StreamAudit), jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("send records of commits to the trail: %w", err)
	}
	return nil
}
