package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errFenced says that somebody else has moved the cursor: this consumer is not the only one.
var errFenced = errors.New("another consumer has moved the cursor")

// ledger is the database as the active consumer knows it. What it knows is true as long as it alone writes, which
// every transaction makes sure of.
type ledger struct {
	log         *slog.Logger
	conn        *pgx.Conn
	limit       time.Duration // of a transaction
	stream      string
	incarnation time.Time
	lastSeq     uint64
	lastHash    []byte // of the message at lastSeq; nil: none was committed
	lastID      int64
	sources     map[sourceKey]source
	partitions  partitions
}

// maxSources bounds what is remembered, about 200 bytes each; what is forgotten is read again.
const maxSources = 100_000

// store takes messages into the database and moves the cursor behind the last, all or nothing. Messages that
// Postgres refuses for what is in them end as rejected, after they were found by halves.
func (l *ledger) store(ctx context.Context, msgs []message, done func(plan)) error {
	p, err := l.transact(ctx, msgs)
	if err == nil {
		done(p)
		return nil
	}
	if !isDataError(err) {
		return err
	}
	if len(msgs) > 1 {
		half := len(msgs) / 2
		if err := l.store(ctx, msgs[:half], done); err != nil {
			return err
		}
		return l.store(ctx, msgs[half:], done)
	}
	if msgs[0].poison != "" {
		return err
	}
	msgs[0].poison = "the database refuses it: " + err.Error()
	return l.store(ctx, msgs, done)
}

// isDataError tells whether Postgres refused what was in the rows (classes 22 and 23), and not something else.
func isDataError(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (strings.HasPrefix(answer.Code, "22") || strings.HasPrefix(answer.Code, "23"))
}

func (l *ledger) transact(ctx context.Context, msgs []message) (plan, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	if len(l.sources) > maxSources {
		clear(l.sources)
	}
	if err := l.learn(ctx, unknown(msgs, l.sources)); err != nil {
		return plan{}, fmt.Errorf("read sources: %w", err)
	}
	p := newPlan(msgs, l.sources, l.lastID+1, time.Now())
	lastID := l.lastID + p.rows.count
	if err := l.partitions.reach(ctx, l.conn, lastID); err != nil {
		return plan{}, err
	}
	if err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error { return l.write(ctx, tx, &p, lastID) }); err != nil {
		return plan{}, fmt.Errorf("store messages %d to %d: %w", msgs[0].seq, p.last, err)
	}
	l.lastSeq, l.lastHash, l.lastID = p.last, p.hash, lastID
	for key, s := range p.sources {
		l.sources[key] = s
	}
	return p, nil
}

func (l *ledger) write(ctx context.Context, tx pgx.Tx, p *plan, lastID int64) error {
	if err := l.fence(ctx, tx); err != nil {
		return err
	}
	if p.rows.count > 0 {
		copied, err := tx.CopyFrom(ctx, pgx.Identifier{schema, "call"}, columns(), &p.rows)
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if copied != p.rows.count {
			return fmt.Errorf("copied %d of %d rows", copied, p.rows.count)
		}
	}
	var b pgx.Batch
	l.moveCursor(&b, p, lastID)
	l.moveSources(&b, p)
	noteRuns(&b, &p.rows)
	noteStats(&b, p.stats)
	for _, m := range p.rejected {
		subject, _ := audittrail.Text(m.subject, 256)
		reason, _ := audittrail.Text(m.poison, 1024)
		// A stream that is read anew brings it again.
		b.Queue(`INSERT INTO audit.rejected (stream, incarnation, seq, hash, subject, reason, data)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			l.stream, l.incarnation, small(m.seq), m.hash(), subject, reason, m.data)
	}
	for _, r := range p.replaced {
		b.Queue(`INSERT INTO audit.replaced (gateway, epoch, n, id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (gateway, epoch, n) DO UPDATE SET id = excluded.id`, r.gateway, small(r.epoch), r.n, r.id)
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil || len(p.again) == 0 {
		return err
	}
	conflicts, err := contradictions(ctx, tx, p.again)
	if err != nil || len(conflicts) == 0 {
		return err
	}
	p.conflicts, err = keep(ctx, tx, conflicts)
	return err
}

// noteRuns keeps where which numbers are.
func noteRuns(b *pgx.Batch, r *rows) {
	if r.count == 0 {
		return
	}
	var gateways []string
	var epochs, firsts, lasts, ids []int64
	var prevs, hashes [][]byte
	id := r.first
	for _, of := range r.runs {
		count := int64(len(of.records))
		gateways, epochs = append(gateways, of.gateway), append(epochs, small(of.epoch))
		firsts, lasts, ids = append(firsts, small(of.n)), append(lasts, small(of.n)+count-1), append(ids, id)
		prevs, hashes = append(prevs, of.prevHash), append(hashes, of.hash)
		id += count
	}
	b.Queue(`INSERT INTO audit.run (gateway, epoch, first_n, last_n, first_id, prev_hash, hash)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[])`,
		gateways, epochs, firsts, lasts, ids, prevs, hashes)
}

// fence takes the locks of whoever writes, and makes sure that nobody else has written since.
func (l *ledger) fence(ctx context.Context, tx pgx.Tx) error {
	var b pgx.Batch
	var lastID, lastSeq int64
	b.Queue(`SELECT last_id FROM audit.head FOR UPDATE`).QueryRow(func(row pgx.Row) error { return row.Scan(&lastID) })
	b.Queue(`SELECT last_seq FROM audit.cursor WHERE stream = $1 AND incarnation = $2 FOR UPDATE`, l.stream, l.incarnation).
		QueryRow(func(row pgx.Row) error { return row.Scan(&lastSeq) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("lock the cursor: %w", err)
	}
	if lastID != l.lastID || lastSeq != small(l.lastSeq) {
		return errFenced
	}
	return nil
}

func (l *ledger) moveCursor(b *pgx.Batch, p *plan, lastID int64) {
	b.Queue(`UPDATE audit.cursor SET last_seq = $3, last_hash = $4, updated_at = now() WHERE stream = $1 AND incarnation = $2`,
		l.stream, l.incarnation, small(p.last), p.hash)
	if p.rows.count == 0 {
		return
	}
	earliest, latest := p.rows.times()
	b.Queue(`UPDATE audit.head SET last_id = $1`, lastID)
	b.Queue(`UPDATE audit.part SET rows = rows + least(hi - 1, $2) - greatest(lo, $1) + 1,
			min_time = least(min_time, $3), max_time = greatest(max_time, $4),
			stored_from = coalesce(stored_from, now()), stored_to = now()
		WHERE lo <= $2 AND hi > $1`, p.rows.first, lastID, earliest, latest)
}

func (l *ledger) moveSources(b *pgx.Batch, p *plan) {
	for key, s := range p.sources {
		b.Queue(`INSERT INTO audit.source (gateway, epoch, last_n) VALUES ($1, $2, $3)
			ON CONFLICT (gateway, epoch) DO UPDATE SET last_n = excluded.last_n, updated_at = now()`,
			key.gateway, small(key.epoch), small(s.last))
		if slices.Equal(s.holes, l.sources[key].holes) {
			continue
		}
		b.Queue(`DELETE FROM audit.hole WHERE gateway = $1 AND epoch = $2`, key.gateway, small(key.epoch))
		for _, h := range s.holes {
			b.Queue(`INSERT INTO audit.hole (gateway, epoch, first_n, last_n, lost, found_at) VALUES ($1, $2, $3, $4, $5, $6)`,
				key.gateway, small(key.epoch), small(h.first), small(h.last), h.lost, h.found)
		}
	}
}
