package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Settings say how a pool reaches its database.
type Settings struct {
	// URL is a connection URL or a keyword string as libpq takes it. What it says of the pool (pool_max_conns and
	// the like, see pgxpool.ParseConfig) holds unless a field below is set.
	URL string
	// Application is the application_name that Postgres shows for these connections, unless URL names one.
	Application string
	// MaxConns bounds the open connections. 0: as URL says, else the larger of 4 and the number of CPUs.
	MaxConns int32
	// ConnectTimeout bounds one attempt to connect. 0: as URL says, else 5 s.
	ConnectTimeout time.Duration
	// Require makes Open fail when the database does not answer.
	Require bool
}

// Open makes a pool of connections. It needs no database for that: connections are made when they are needed, so
// a service starts, and stays up, while Postgres is away. With Settings.Require it asks once, and fails without
// an answer. Otherwise the only errors are those of a URL that cannot be read; they do not show its password.
//
// The caller closes the pool.
func Open(ctx context.Context, s Settings) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(s.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	if params := cfg.ConnConfig.RuntimeParams; params["application_name"] == "" && s.Application != "" {
		params["application_name"] = s.Application
	}
	if s.MaxConns > 0 {
		cfg.MaxConns = s.MaxConns
	}
	switch {
	case s.ConnectTimeout > 0:
		cfg.ConnConfig.ConnectTimeout = s.ConnectTimeout
	case cfg.ConnConfig.ConnectTimeout == 0:
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if cfg.MaxConnLifetimeJitter == 0 { // not all replaced at once
		cfg.MaxConnLifetimeJitter = cfg.MaxConnLifetime / 10
	}
	if cfg.PingTimeout == 0 {
		cfg.PingTimeout = cfg.ConnConfig.ConnectTimeout
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	if !s.Require {
		return pool, nil
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	return pool, nil
}

// Wait returns when the database behind the pool answers. It asks again with a pause of 50 ms, growing to 2 s. When
// ctx ends first it returns both its error and the last one of the database, which says why.
func Wait(ctx context.Context, pool *pgxpool.Pool) error {
	pause := 50 * time.Millisecond
	for {
		err := pool.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		}
	}
}
