package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"

	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// keeper turns Snapshots into plans and keeps the last one on disk.
type keeper struct {
	gw      *gateway
	home    *home
	opener  *secret.Opener
	fleet   *upstream.Fleet
	planner *planner
}

// begin takes what was kept over a restart, and gives what to go on from: nil when nothing was kept, or when it
// cannot be taken.
func (k *keeper) begin(ctx context.Context, s start) *configlog.Snapshot {
	if s.snap == nil {
		return nil
	}
	k.gw.heardAt.Store(s.heardAt.UnixNano())
	if err := k.take(ctx, s.snap); err != nil {
		k.gw.log.LogAttrs(ctx, slog.LevelError, "Snapshot file not used", slog.Any("error", err))
		k.gw.heardAt.Store(0)
		return nil
	}
	return s.snap
}

// take makes a plan of a Snapshot and swaps it in. Calls that run keep the plan they began with.
func (k *keeper) take(ctx context.Context, snap *configlog.Snapshot) error {
	next, err := k.planner.build(ctx, snap)
	if err != nil {
		return err
	}
	k.gw.heardAt.CompareAndSwap(0, time.Now().UnixNano()) // the first comes when the log was read to its end
	k.gw.plan.Store(next)
	k.fleet.Forget(specs(&snap.Config))
	named := map[string]bool{}
	for i := range snap.Config.Sites {
		for _, s := range snap.Config.Sites[i].Upstream.Accounts {
			named[s.Key()] = true
		}
	}
	k.planner.keep(named)
	return nil
}

// keep notes when the log was last heard, each quarter second, and writes the Snapshot file: at once when
// there is a new Snapshot, each half minute otherwise, because the file also says how old it is.
func (k *keeper) keep(ctx context.Context) {
	const rewrite = 30 * time.Second
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var saved *configlog.Snapshot
	var savedAt time.Time
	for {
		select {
		case <-ctx.Done():
			k.save(ctx, k.gw.follower.Snapshot())
			return
		case <-tick.C:
		}
		heard := k.gw.follower.Status().HeardAt
		if heard.IsZero() {
			continue
		}
		k.gw.heardAt.Store(heard.UnixNano())
		if snap := k.gw.follower.Snapshot(); snap != saved || time.Since(savedAt) > rewrite {
			k.save(ctx, snap)
			saved, savedAt = snap, time.Now()
		}
	}
}

func (k *keeper) save(ctx context.Context, snap *configlog.Snapshot) {
	heard := k.gw.follower.Status().HeardAt
	if snap == nil || heard.IsZero() {
		return
	}
	if err := k.home.file.Save(snap, heard, kept{Sealed: k.opener.Sealed()}); err != nil {
		k.gw.log.LogAttrs(ctx, slog.LevelError, "Snapshot file not written", slog.Any("error", err))
	}
}
