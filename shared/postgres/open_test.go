package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// nobodyListens is refused at once.
const nobodyListens = "postgres://someone:secret@127.0.0.1:1/gatehouse"

func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	pool, err := postgres.Open(ctx, postgres.Settings{URL: nobodyListens, Application: "audit", MaxConns: 8})
	if err != nil {
		fmt.Println("the URL cannot be read:", err)
		return
	}
	defer pool.Close()
	fmt.Println("the service starts")
	if err := postgres.Wait(ctx, pool); errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("and works once the database is there")
	}
	// Output:
	// the service starts
	// and works once the database is there
}

func TestOpenNeedsNoDatabaseUnlessAsked(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Settings{URL: nobodyListens})
	if err != nil {
		t.Fatal(err)
	}
	pool.Close()
	_, err = postgres.Open(t.Context(), postgres.Settings{URL: nobodyListens, Require: true})
	if err == nil {
		t.Fatal("no error although the database is required and away")
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestOpenKeepsThePasswordOfABadURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://someone:secret@host:port/db", "user=someone password=secret port=x"} {
		_, err := postgres.Open(t.Context(), postgres.Settings{URL: url})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

func TestOpenSettings(t *testing.T) {
	t.Parallel()
	const url = "postgres://someone@127.0.0.1:1/gatehouse"
	tests := map[string]struct {
		give    postgres.Settings
		app     string
		conns   int32
		timeout time.Duration
	}{
		"fields":            {postgres.Settings{URL: url, Application: "audit", MaxConns: 3, ConnectTimeout: time.Second}, "audit", 3, time.Second},
		"defaults":          {postgres.Settings{URL: url}, "", max(4, int32(runtime.NumCPU())), 5 * time.Second},
		"the URL's":         {postgres.Settings{URL: url + "?application_name=mine&pool_max_conns=7&connect_timeout=9", Application: "audit"}, "mine", 7, 9 * time.Second},
		"fields over URL's": {postgres.Settings{URL: url + "?pool_max_conns=7&connect_timeout=9", MaxConns: 3, ConnectTimeout: time.Second}, "", 3, time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := postgres.Open(t.Context(), test.give)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			cfg := pool.Config()
			if got := cfg.ConnConfig.RuntimeParams["application_name"]; got != test.app {
				t.Errorf("application %q, want %q", got, test.app)
			}
			if cfg.MaxConns != test.conns || cfg.ConnConfig.ConnectTimeout != test.timeout {
				t.Errorf("%d connections, %v, want %d, %v", cfg.MaxConns, cfg.ConnConfig.ConnectTimeout, test.conns, test.timeout)
			}
		})
	}
}

func TestOpenRequired(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Settings{URL: testkit.Postgres(t, nil), Require: true, Application: "audit"})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var app string
	if err := pool.QueryRow(t.Context(), "SHOW application_name").Scan(&app); err != nil || app != "audit" {
		t.Errorf("application %q, %v", app, err)
	}
}

func TestWaitSaysWhyItEnded(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Settings{URL: nobodyListens})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err = postgres.Wait(ctx, pool)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v, want both the deadline and the database's", err)
	}
}
