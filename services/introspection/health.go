package introspection

import (
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/service"
)

// loading is the health of a service that takes no questions yet.
func (k *keeper) loading() service.Check {
	return service.Check{Detail: map[string]any{"trouble": "no configuration was loaded yet", "log": k.follower.Status().Trouble}}
}

// health: ready is whoever takes questions; the configuration it has may be an empty or an old one.
func (k *keeper) health() service.Check {
	x, status := k.current.Load(), k.follower.Status()
	detail := map[string]any{"sequence": x.seq, "heard_at": status.HeardAt.UTC().Format(time.RFC3339)}
	if status.Trouble != "" {
		detail["trouble"], detail["blocked_at"] = status.Trouble, status.BlockedAt
	}
	unusable, directories := map[string]string{}, map[string]string{}
	for _, s := range x.sites {
		if s.directory != nil && s.directory.trouble != "" {
			directories[s.id] = s.directory.trouble
		}
		for _, p := range s.providers {
			if p.trouble != "" {
				unusable[s.id+"/"+p.id] = p.trouble
			}
		}
	}
	if len(unusable) > 0 {
		detail["providers_unusable"] = unusable
	}
	if len(directories) > 0 {
		detail["directories_unusable"] = directories
	}
	return service.Check{Ready: true, Detail: detail}
}
