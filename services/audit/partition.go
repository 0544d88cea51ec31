package audit

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

// partitions keeps audit.call ahead of the ids.
type partitions struct {
	log  *slog.Logger
	size int64
	end  int64 // ids below it have a partition
}

// load finds out how far the partitions reach; there may be none any more.
func (p *partitions) load(ctx context.Context, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, `SELECT greatest(last_id + 1, (SELECT max(hi) FROM audit.part)) FROM audit.head`).Scan(&p.end)
}

// reach makes the partitions for all ids up to last, and the next one once the last is half full. Each is a
// transaction of its own, because attaching a partition waits for whoever detaches another one.
func (p *partitions) reach(ctx context.Context, conn *pgx.Conn, last int64) error {
	for last+p.size/2 >= p.end {
		hi := p.end + p.size
		if err := p.add(ctx, conn, p.end, hi); err != nil {
			err = fmt.Errorf("make the partition of ids from %d: %w", p.end, err)
			if last >= p.end || conn.IsClosed() {
				return err
			}
			p.log.LogAttrs(ctx, slog.LevelWarn, "no partition ahead yet", slog.Any("error", err))
			return nil
		}
		p.end = hi
	}
	return nil
}

// add makes a partition of the ids lo to hi-1. Attaching, unlike CREATE TABLE … PARTITION OF, does not wait for
// running searches.
func (p *partitions) add(ctx context.Context, conn *pgx.Conn, lo, hi int64) error {
	name := fmt.Sprintf("call_%015d", lo)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			SET LOCAL lock_timeout = '5s';
			CREATE TABLE audit.%[1]s (LIKE audit.call INCLUDING ALL);
			ALTER TABLE audit.call ATTACH PARTITION audit.%[1]s FOR VALUES FROM (%[2]d) TO (%[3]d);
			INSERT INTO audit.part (name, lo, hi) VALUES ('%[1]s', %[2]d, %[3]d)`, name, lo, hi))
		return err
	})
}
