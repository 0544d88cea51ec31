package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// seal gives full partitions the indexes they were filled without, now and then until ctx ends. A search in the
// partition that is being filled, or in one that waits here, reads all of it instead: a million rows in a quarter of
// a second.
func (in *ingest) seal(ctx context.Context) {
	again := time.NewTicker(in.every.Seal)
	defer again.Stop()
	for {
		for {
			began := time.Now()
			name, err := in.sealOne(ctx)
			if err != nil && ctx.Err() == nil {
				in.log.LogAttrs(ctx, slog.LevelWarn, "partition not indexed yet", slog.String("partition", name), slog.Any("error", err))
			}
			if err != nil || name == "" {
				break
			}
			in.log.LogAttrs(ctx, slog.LevelInfo, "partition indexed", slog.String("partition", name), slog.Duration("took", time.Since(began)))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// sealOne indexes the oldest partition that is full and not indexed; the name is empty when there is none.
func (in *ingest) sealOne(ctx context.Context) (name string, err error) {
	conn, err := in.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT name FROM audit.part WHERE NOT sealed AND state = 'kept' AND hi <= (SELECT last_id + 1 FROM audit.head)
			ORDER BY lo LIMIT 1`).Scan(&name)
		if err != nil {
			return err
		}
		table, index := pgx.Identifier{schema, name}.Sanitize(), func(what string) string { return pgx.Identifier{name + what}.Sanitize() }
		_, err = tx.Exec(ctx, fmt.Sprintf(`
			SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0; SET LOCAL max_parallel_maintenance_workers = 0;
			CREATE INDEX %[2]s ON %[1]s (username, id);
			CREATE INDEX %[3]s ON %[1]s (client_id, id);
			CREATE INDEX %[4]s ON %[1]s (request_id);
			ANALYZE %[1]s`, table, index("_user"), index("_client"), index("_request")))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE audit.part SET sealed = true WHERE name = $1`, name)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return name, err
}
