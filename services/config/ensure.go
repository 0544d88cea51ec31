package config

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/config/tokens"
)

// ensurer keeps the streams there: at start, when a log cannot be followed, when the longest stale.max
// that a gateway may go by has changed, and now and then.
type ensurer struct {
	log      *slog.Logger
	js       jetstream.JetStream
	follower *configlog.Follower
	tokens   *tokens.Desk
	stale    *staleness
	settings Settings
}

// run goes on until ctx ends. The first try is over when it calls started.
func (e *ensurer) run(ctx context.Context, started func()) {
	tick := time.NewTicker(e.settings.Retry)
	defer tick.Stop()
	var done topology.Limits // what the streams are known to have
	var at time.Time
	said := ""
	for {
		wanted := e.wanted()
		if done != wanted || e.follower.Status().Trouble != "" || e.tokens.Status().Trouble != "" || time.Since(at) >= e.settings.EnsureEvery {
			err := e.ensure(ctx, wanted)
			switch {
			case err == nil:
				if said != "" {
					e.log.LogAttrs(ctx, slog.LevelInfo, "streams are there")
				}
				done, at, said = wanted, time.Now(), ""
			case errors.Is(err, errNotLoaded) || ctx.Err() != nil:
			case err.Error() != said:
				said = err.Error()
				e.log.LogAttrs(ctx, slog.LevelWarn, "streams cannot be made sure of", slog.Any("error", err))
			}
		}
		started()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *ensurer) wanted() topology.Limits {
	return e.settings.limits(e.stale.at(time.Now(), enlisted))
}

// errNotLoaded says that what the limits should be is not known yet, and that nothing is missing.
var errNotLoaded = errors.New("the configuration is not loaded yet")

func (e *ensurer) ensure(ctx context.Context, limits topology.Limits) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if e.follower.Snapshot() == nil {
		if _, err := e.js.Stream(ctx, topology.StreamConfig); !errors.Is(err, jetstream.ErrStreamNotFound) {
			return cmp.Or(err, errNotLoaded) // do not cut what an earlier process had set
		}
	}
	return topology.Ensure(ctx, e.js, limits)
}
