package introspection

import (
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/service"
)

// health: ready is whoever has loaded a configuration, be it an empty or an old one.
func (k *keeper) health() service.Check {
	x, status := k.current.Load(), k.follower.Status()
	if x == nil {
		return service.Check{Detail: map[string]any{"trouble": "no configuration was loaded yet", "log": status.Trouble}}
	}
	detail := map[string]any{"sequence": x.seq, "heard_at": status.HeardAt.UTC().Format(time.RFC3339)}
	if status.Trouble != "" {
		detail["trouble"], detail["blocked_at"] = status.Trouble, status.BlockedAt
	}
	unusable := map[string]string{}
	for _, s := range x.sites {
		for _, p := range s.providers {
			if p.trouble != "" {
				unusable[s.id+"/"+p.id] = p.trouble
			}
		}
	}
	if len(unusable) > 0 {
		detail["providers_unusable"] = unusable
	}
	return service.Check{Ready: true, Detail: detail}
}
