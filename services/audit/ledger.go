package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// activeKey is the advisory lock of the active consumer: "gateaudi" in ASCII.
const activeKey = 0x6761746561756469

// setUp prepares a connection for writing. A commit that Postgres could forget would have gateways throw records
// away, so one that was told not to wait for its disk waits all the same; and Postgres soon lets go of the lock of a
// consumer whose machine is gone.
func setUp(ctx context.Context, conn *pgx.Conn, limit time.Duration) error {
	_, err := conn.Exec(ctx, fmt.Sprintf(`
		SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
		SELECT set_config('statement_timeout', '%[1]d', false), set_config('lock_timeout', '%[1]d', false),
			set_config('idle_in_transaction_session_timeout', '%[1]d', false),
			set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
			set_config('tcp_keepalives_count', '3', false)`, limit.Milliseconds()))
	return err
}

// tryActive makes this connection the active consumer's, unless there is one. It stays so until it is closed.
func tryActive(ctx context.Context, conn *pgx.Conn) (active bool, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(activeKey)).Scan(&active)
	return active, err
}

// load reads where the last consumer stopped; at is the stream as it is now. Unknown streams begin at their first
// message.
func (l *ledger) load(ctx context.Context, at look) error {
	l.incarnation = at.created
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	var lastSeq int64
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT last_id FROM audit.head FOR UPDATE`).Scan(&l.lastID); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `SELECT last_seq, last_hash FROM audit.cursor WHERE stream = $1 AND incarnation = $2`,
			l.stream, l.incarnation).Scan(&lastSeq, &l.lastHash)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		lastSeq = small(at.first - 1)
		_, err = tx.Exec(ctx, `INSERT INTO audit.cursor (stream, incarnation, last_seq) VALUES ($1, $2, $3)`, l.stream, l.incarnation, lastSeq)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	l.lastSeq = uint64(lastSeq) //nolint:gosec // never negative
	if err := l.partitions.load(ctx, l.conn); err != nil {
		return fmt.Errorf("read the partitions: %w", err)
	}
	return nil
}

// restart moves the cursor before the first message of a stream that is not the one that was read. What is there
// already is dropped by its numbers.
func (l *ledger) restart(ctx context.Context, at look) error {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	done, err := l.conn.Exec(ctx, `UPDATE audit.cursor SET last_seq = $4, last_hash = NULL, updated_at = now()
		WHERE stream = $1 AND incarnation = $2 AND last_seq = $3`, l.stream, l.incarnation, small(l.lastSeq), small(at.first-1))
	if err != nil {
		return err
	}
	if done.RowsAffected() == 0 {
		return errFenced
	}
	l.lastSeq, l.lastHash = at.first-1, nil
	return nil
}

// recent reads the sources heard of within the last hour, whose gateways may wait to be told what is committed.
func (l *ledger) recent(ctx context.Context) ([]sourceKey, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	rows, err := l.conn.Query(ctx, `SELECT gateway, epoch FROM audit.source
		WHERE updated_at > now() - interval '1 hour' ORDER BY updated_at DESC LIMIT 10000`)
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (key sourceKey, err error) {
		err = row.Scan(&key.gateway, &key.epoch)
		return key, err
	})
	if err != nil {
		return nil, err
	}
	return keys, l.learn(ctx, keys)
}

// learn reads what the database has of sources.
func (l *ledger) learn(ctx context.Context, keys []sourceKey) error {
	if len(keys) == 0 {
		return nil
	}
	gateways, epochs := make([]string, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		gateways[i], epochs[i] = key.gateway, small(key.epoch)
	}
	learnt := make(map[sourceKey]source, len(keys))
	for _, key := range keys {
		learnt[key] = source{}
	}
	var b pgx.Batch
	const these = ` JOIN unnest($1::text[], $2::bigint[]) AS k (gateway, epoch) USING (gateway, epoch)`
	b.Queue(`SELECT gateway, epoch, last_n FROM audit.source`+these, gateways, epochs).Query(func(rows pgx.Rows) error {
		var key sourceKey
		var last uint64
		_, err := pgx.ForEachRow(rows, []any{&key.gateway, &key.epoch, &last}, func() error {
			learnt[key] = source{last: last}
			return nil
		})
		return err
	})
	b.Queue(`SELECT gateway, epoch, first_n, last_n, lost, found_at FROM audit.hole`+these+` ORDER BY first_n`, gateways, epochs).
		Query(func(rows pgx.Rows) error {
			var key sourceKey
			var h hole
			_, err := pgx.ForEachRow(rows, []any{&key.gateway, &key.epoch, &h.first, &h.last, &h.lost, &h.found}, func() error {
				s := learnt[key]
				s.holes = append(s.holes, h)
				learnt[key] = s
				return nil
			})
			return err
		})
	if err := l.conn.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	for key, s := range learnt {
		l.sources[key] = s
	}
	return nil
}

// count counts what is missing, the messages that were rejected and the records that contradict others.
func (l *ledger) count(ctx context.Context) (n tally, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	err = l.conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM audit.hole WHERE NOT lost), (SELECT count(*) FROM audit.hole WHERE lost),
		(SELECT count(*) FROM audit.rejected), (SELECT count(*) FROM audit.conflict)`).Scan(&n.open, &n.lost, &n.rejected, &n.conflicts)
	return n, err
}

// alive makes sure that the connection works and that nobody else has moved the cursor.
func (l *ledger) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(l.limit, 5*time.Second))
	defer cancel()
	var lastSeq int64
	err := l.conn.QueryRow(ctx, `SELECT last_seq FROM audit.cursor WHERE stream = $1 AND incarnation = $2`, l.stream, l.incarnation).Scan(&lastSeq)
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	if lastSeq != small(l.lastSeq) {
		return errFenced
	}
	return nil
}
