package logcopy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/jackc/pgx/v5"
)

// past is a history of a log, as far as it was copied.
type past struct {
	epoch uint64          // names it; 0: it begins with the next commit that is stored
	base  eventlog.State  // what it shares with the one before
	from  uint64          // epoch of a history that has that; 0: base is the empty log
	after uint64          // the epoch that held when this one was found
	at    eventlog.State  // copied
	chain audittrail.Hash // of the trail, behind at
}

// load reads the history that holds, and how far it was copied.
func (c *Copy) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	var p past
	err := c.o.Pool.QueryRow(ctx, c.o.Of.sql(`SELECT epoch FROM {log} ORDER BY since DESC, epoch DESC LIMIT 1`)).Scan(&p.epoch)
	if err == nil {
		p, err = c.o.Of.readPast(ctx, c.o.Pool, p.epoch)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read the copy of "+c.o.Of.name+": %w", err)
	}
	c.past = p
	c.status.copied(p.at.Seq, false)
	return nil
}

// rower is a connection, a pool or a transaction.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readPast reads how far a history was copied; it has a commit at least.
func (l *Log) readPast(ctx context.Context, db rower, epoch uint64) (past, error) {
	p := past{epoch: epoch}
	var hash, chain []byte
	err := db.QueryRow(ctx, l.sql(`SELECT l.base, c.seq, c.hash, c.chain FROM {log} l JOIN {commit} c USING (epoch)
		WHERE l.epoch = $1 ORDER BY c.seq DESC LIMIT 1`), number(epoch)).Scan(&p.base.Seq, &p.at.Seq, &hash, &chain)
	copy(p.at.Hash[:], hash)
	copy(p.chain[:], chain)
	return p, err
}

// known gives the epoch in which each commit that was ever copied is, by its hash, which is that of all before it too.
func (c *Copy) known(ctx context.Context) (map[eventlog.Hash]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	rows, err := c.o.Pool.Query(ctx, c.o.Of.sql(`SELECT hash, max(epoch) FROM {commit} GROUP BY hash`))
	if err != nil {
		return nil, err
	}
	all := map[eventlog.Hash]uint64{}
	var hash []byte
	var epoch uint64
	_, err = pgx.ForEachRow(rows, []any{&hash, &epoch}, func() error {
		all[eventlog.Hash(hash)] = epoch
		return nil
	})
	return all, err
}

// branch begins a history of its own with a commit that is in none that is known; it follows at, which is.
func (c *Copy) branch(ctx context.Context, at eventlog.State, from uint64, first eventlog.Commit) error {
	c.past = past{base: at, from: from, at: at, after: c.past.epoch}
	c.waiting = []eventlog.Commit{first}
	return c.store(ctx)
}

// resume goes on with a history that was copied up to at or further, if the log holds all of it.
func (c *Copy) resume(ctx context.Context, at eventlog.State, epoch uint64, broken error) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	p, err := c.o.Of.readPast(ctx, c.o.Pool, epoch)
	if err != nil {
		return err
	}
	if p.at != at {
		return fmt.Errorf("the copy has more of the "+c.o.Of.name+" log than the log: %w", broken)
	}
	if _, err := c.o.Pool.Exec(ctx, c.o.Of.sql(`UPDATE {log} SET since = clock_timestamp() WHERE epoch = $1`), number(epoch)); err != nil {
		return err
	}
	return nil
}

// store takes what was collected into the database, all or nothing; a history that begins is called by when its stream
// was made.
func (c *Copy) store(ctx context.Context) error {
	if len(c.waiting) == 0 {
		return nil
	}
	var created time.Time
	if c.past.epoch == 0 {
		var err error
		if created, err = c.created(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Transaction)
	defer cancel()
	next := c.past
	err := pgx.BeginFunc(ctx, c.o.Pool, func(tx pgx.Tx) error {
		if err := c.o.Of.own(ctx, tx, &next, created); err != nil {
			return err
		}
		var b pgx.Batch
		for _, commit := range c.waiting {
			if err := c.o.Of.queueCommit(&b, &next, commit); err != nil {
				return err
			}
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return fmt.Errorf("copy "+c.o.Of.name+" behind %d: %w", c.past.at.Seq, err)
	}
	c.past, c.waiting, c.bytes = next, nil, 0
	c.outbox.pending = true
	c.status.copied(next.at.Seq, false)
	return nil
}

// own makes sure that nobody else writes to the copy or has done so since it was read, and begins a history that is new.
func (l *Log) own(ctx context.Context, tx pgx.Tx, p *past, created time.Time) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, l.lock)
	if err != nil {
		return err
	}
	if err := waitForDisk(ctx, tx); err != nil {
		return err
	}
	if p.epoch == 0 {
		return l.begin(ctx, tx, p, created)
	}
	there, err := l.readPast(ctx, tx, p.epoch)
	if err == nil && there.at != p.at {
		err = errFenced
	}
	return err
}

// errFenced says that somebody else has written to the copy.
var errFenced = errors.New("another instance has written to the copy")

// waitForDisk has a transaction wait for the disk where the database was told not to.
func waitForDisk(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// begin makes a history, with the commits it shares with the one before.
func (l *Log) begin(ctx context.Context, tx pgx.Tx, p *past, created time.Time) error {
	var holds, newest int64
	var chain []byte
	err := tx.QueryRow(ctx, l.sql(`SELECT (SELECT epoch FROM {log} ORDER BY since DESC, epoch DESC LIMIT 1), l.epoch,
			(SELECT chain FROM {commit} c WHERE c.epoch = l.epoch ORDER BY seq DESC LIMIT 1)
		FROM {log} l ORDER BY l.epoch DESC LIMIT 1`)).Scan(&holds, &newest, &chain)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if holds != number(p.after) {
		return errFenced
	}
	var before audittrail.Hash // none
	copy(before[:], chain)
	epoch := max(created.UnixNano(), newest+1)
	p.epoch = uint64(epoch)
	p.chain = audittrail.Genesis(before, l.source, p.epoch)
	if _, err := tx.Exec(ctx, l.sql(`INSERT INTO {log} (epoch, incarnation, base, genesis, since) VALUES ($1, $2, $3, $4, clock_timestamp())`),
		epoch, created, number(p.base.Seq), p.chain[:]); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, l.sql(`INSERT INTO {commit} (epoch, seq, hash, prev_hash, at, who, why, request_id, data)
		SELECT $1, seq, hash, prev_hash, at, who, why, request_id, data FROM {commit} WHERE epoch = $2 AND seq <= $3`),
		epoch, number(p.from), number(p.base.Seq))
	return err
}

// queueCommit stores a commit with its record, and moves p behind it.
func (l *Log) queueCommit(b *pgx.Batch, p *past, commit eventlog.Commit) error {
	record, meta := l.recordOf(commit)
	encoded, err := audittrail.Encode(nil, record)
	if err != nil {
		return fmt.Errorf("record of commit %d: %w", commit.Seq, err)
	}
	p.chain, p.at = audittrail.Next(p.chain, encoded), commit.State
	var at any
	if meta.GetAt() != nil {
		at = time.Unix(0, number(record.GetTime())).UTC()
	}
	who, _ := audittrail.Text(meta.GetWho().GetName(), 256)
	why, _ := audittrail.Text(meta.GetWhy(), 4096)
	b.Queue(l.sql(`INSERT INTO {commit} (epoch, seq, hash, prev_hash, at, who, why, request_id, data, chain, record)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`),
		number(p.epoch), number(commit.Seq), commit.Hash[:], commit.Prev[:], at, who, why, record.GetRequestId(), commit.Data, p.chain[:], encoded)
	return nil
}

// number gives a number as Postgres stores it. What does not fit is nonsense, and becomes the largest that does.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
