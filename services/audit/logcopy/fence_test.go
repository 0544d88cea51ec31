package logcopy

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/jackc/pgx/v5"
)

func migrate(ctx context.Context, url string) error {
	return postgres.Migrate(ctx, url, os.DirFS(".."), "migrations", "audit")
}

// TestCopyIsFenced: of two that take themselves for the active consumer one cannot write.
func TestCopyIsFenced(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testkit.Postgres(t, migrate))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	of := Config()
	write := func(p past, seq uint64) (past, error) {
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			if err := of.own(t.Context(), tx, &p, time.Now()); err != nil {
				return err
			}
			var b pgx.Batch
			if err := of.queueCommit(&b, &p, eventlog.Commit{State: eventlog.State{Seq: seq}, Data: []byte{}}); err != nil {
				return err
			}
			return tx.SendBatch(t.Context(), &b).Close()
		})
		return p, err
	}
	first, err := write(past{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(past{}, 1); !errors.Is(err, errFenced) {
		t.Errorf("another begins too: %v", err)
	}
	second, err := write(first, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(first, 2); !errors.Is(err, errFenced) {
		t.Errorf("another is behind: %v", err)
	}
	if _, err := write(second, 3); err != nil {
		t.Error(err)
	}
}
