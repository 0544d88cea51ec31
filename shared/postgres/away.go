package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// IsAway tells whether an error says that the database is away, full, read-only, not ready or busy, which passes, and not
// that what was asked of it is wrong. No answer at all is away too.
func IsAway(err error) bool {
	var answer *pgconn.PgError
	var scan pgx.ScanArgError
	switch {
	case err == nil, errors.As(err, &scan), errors.Is(err, pgx.ErrNoRows), errors.Is(err, pgx.ErrTooManyRows):
		return false
	case !errors.As(err, &answer):
		return true
	}
	switch answer.Code[:2] {
	case "08", "25", "53", "57": // connection, read only, resources, operator
		return true
	}
	switch answer.Code {
	case "3D000", "3F000", "42P01", "55P03": // no database, no schema, no table, locked
		return true
	}
	return false
}
