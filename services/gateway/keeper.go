package gateway

import (
	"context"
	"log/slog"
	"sync"
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

	mu    sync.Mutex
	saved *configlog.Snapshot // on disk; it never becomes an older one
}

// begin takes what was kept over a restart, and gives what to go on from: nil when nothing was kept, or when it
// cannot be taken.
func (k *keeper) begin(ctx context.Context, s start) *configlog.Snapshot {
	if s.snap == nil {
		return nil
	}
	p, err := k.planner.build(ctx, s.snap)
	if err != nil {
		k.gw.log.LogAttrs(ctx, slog.LevelError, "Snapshot file not used", slog.Any("error", err))
		return nil
	}
	k.saved = s.snap
	k.swap(p, s.snap, s.heardAt)
	return s.snap
}

// take makes a plan of a Snapshot and swaps it in, once it is on disk: a gateway that has said what it decides by never
// starts again on less.
func (k *keeper) take(ctx context.Context, snap *configlog.Snapshot) error {
	p, err := k.planner.build(ctx, snap)
	if err != nil {
		return err
	}
	now := time.Now() // the log was read to its end
	k.save(ctx, snap, now)
	k.swap(p, snap, now)
	return nil
}

// swap has calls go by another plan. Those that run keep the plan they began with.
func (k *keeper) swap(p *plan, snap *configlog.Snapshot, heard time.Time) {
	k.gw.heardAt.CompareAndSwap(0, heard.UnixNano())
	k.gw.plan.Store(p)
	k.fleet.Forget(specs(&snap.Config))
	named := map[string]bool{}
	for i := range snap.Config.Sites {
		for _, s := range snap.Config.Sites[i].Upstream.Accounts {
			named[s.Key()] = true
		}
		named[snap.Config.Sites[i].Upstream.PrivateKey.Key()] = true
	}
	k.planner.keep(named)
}

// keep notes when the logs were last heard, each quarter second, and writes that to the Snapshot file each half minute.
func (k *keeper) keep(ctx context.Context) {
	const rewrite = 30 * time.Second
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	savedAt := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if heard := k.gw.tokens.Status().HeardAt; !heard.IsZero() {
			k.gw.tokensHeardAt.Store(heard.UnixNano())
		}
		heard := k.gw.follower.Status().HeardAt
		if heard.IsZero() {
			continue
		}
		k.gw.heardAt.Store(heard.UnixNano())
		if ctx.Err() != nil || time.Since(savedAt) > rewrite {
			k.save(ctx, nil, heard)
			savedAt = time.Now()
		}
	}
}

// save writes a Snapshot to disk; nil: the one that is there, to say when the log was last heard.
func (k *keeper) save(ctx context.Context, snap *configlog.Snapshot, heard time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if snap != nil {
		k.saved = snap
	}
	if k.saved == nil {
		return
	}
	if err := k.home.file.Save(k.saved, heard, kept{Sealed: k.opener.Sealed()}); err != nil {
		k.gw.log.LogAttrs(ctx, slog.LevelError, "Snapshot file not written", slog.Any("error", err))
	}
}
