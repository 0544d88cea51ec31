package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
)

func TestIsAway(t *testing.T) {
	t.Parallel()
	for want, all := range map[bool][]error{
		true: {
			errors.New("dial unix: connection refused"), context.DeadlineExceeded, &pgconn.PgError{Code: "08006"}, &pgconn.PgError{Code: "25006"},
			&pgconn.PgError{Code: "53100"}, &pgconn.PgError{Code: "57014"}, &pgconn.PgError{Code: "42P01"}, &pgconn.PgError{Code: "55P03"},
		},
		false: {nil, pgx.ErrNoRows, pgx.ScanArgError{}, &pgconn.PgError{Code: "42601"}, &pgconn.PgError{Code: "22021"}, &pgconn.PgError{Code: "23505"}},
	} {
		for _, err := range all {
			if err != nil {
				err = fmt.Errorf("search: %w", err)
			}
			if got := postgres.IsAway(err); got != want {
				t.Errorf("%v: %v", err, got)
			}
		}
	}
}
