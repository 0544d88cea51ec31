package audit

import (
	"context"
	"embed"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
)

//go:embed migrations
var migrations embed.FS

// schema is where all of it is, in the database.
const schema = "audit"

// Migrate brings schema audit of a database to what this program needs. It is safe to call from several
// instances at once; see postgres.Migrate for its errors.
func Migrate(ctx context.Context, databaseURL string) error {
	return postgres.Migrate(ctx, databaseURL, migrations, "migrations", schema)
}
