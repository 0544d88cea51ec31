package logcopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// bucket copies the sealed secrets. They are sealed to introspection, the gateways and the recovery key; this service
// has none of these keys, so that what it reads and keeps opens for nobody who reads its database.
//
// The whole bucket is read once by every session, and again whenever it may be another one; after that what is new.
type bucket struct {
	created    time.Time
	reconnects uint64
	next       uint64 // sequence
}

const (
	bucketStream   = "KV_" + topology.BucketSecrets
	secretMessages = 256 // read at once
	secretBytes    = 4 << 20
	bucketSubject  = "$KV." + topology.BucketSecrets + "."
)

// copy stores the secrets that are new.
func (b *bucket) copy(ctx context.Context, c *Copy) error {
	for {
		try, cancel := context.WithTimeout(ctx, c.o.Attempt)
		msgs, more, err := b.read(try, c.o.JetStream)
		cancel()
		if err != nil {
			return fmt.Errorf("read the sealed secrets: %w", err)
		}
		if len(msgs) > 0 {
			if err := b.store(ctx, c, msgs); err != nil {
				return fmt.Errorf("copy the sealed secrets: %w", err)
			}
			b.next = msgs[len(msgs)-1].Sequence + 1
		}
		if !more {
			return nil
		}
	}
}

// read gives some of the messages that follow, and whether there may be more.
func (b *bucket) read(ctx context.Context, js jetstream.JetStream) (msgs []*jetstream.RawStreamMsg, more bool, err error) {
	reconnects := js.Conn().Stats().Reconnects
	s, err := js.Stream(ctx, bucketStream)
	if err != nil {
		return nil, false, err
	}
	info := s.CachedInfo()
	if !b.created.Equal(info.Created) || b.reconnects != reconnects || info.State.LastSeq+1 < b.next {
		*b = bucket{created: info.Created, reconnects: reconnects, next: 1}
	}
	if info.State.LastSeq < b.next || info.State.Msgs == 0 {
		return nil, false, nil
	}
	raw, err := jetstreamext.GetBatch(ctx, js, bucketStream, secretMessages, jetstreamext.GetBatchSeq(b.next), jetstreamext.GetBatchMaxBytes(secretBytes))
	if err != nil {
		return nil, false, err
	}
	for m, err := range raw {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		msgs = append(msgs, m)
	}
	if len(msgs) == 0 {
		return nil, false, errors.New("the stream gave no answer")
	}
	return msgs, msgs[len(msgs)-1].Sequence < info.State.LastSeq, nil
}

// store keeps what was read. Nothing is overwritten: a key that has another value than before has both.
func (b *bucket) store(ctx context.Context, c *Copy, msgs []*jetstream.RawStreamMsg) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	return pgx.BeginFunc(ctx, c.o.Pool, func(tx pgx.Tx) error {
		if err := waitForDisk(ctx, tx); err != nil {
			return err
		}
		var all pgx.Batch
		for _, m := range msgs {
			key, ok := strings.CutPrefix(m.Subject, bucketSubject)
			if !ok || len(m.Data) == 0 || m.Header.Get("KV-Operation") != "" || m.Header.Get(nats.MsgRollup) != "" {
				continue // a deletion: the copy keeps what there was
			}
			hash := sha256.Sum256(m.Data)
			all.Queue(`INSERT INTO audit.sealed_secret (key, hash, data, created, incarnation) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
				key, hash[:], m.Data, m.Time, b.created)
		}
		return tx.SendBatch(ctx, &all).Close()
	})
}
