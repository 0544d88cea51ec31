package document

import (
	"fmt"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

const notEnforced = "is kept, but not enforced by this version"

// notYet warns of what may be configured and is not enforced by this version, so that nobody relies on it.
// Each line goes when the gateway's row is built.
func (k *checker) notYet(sites []configlog.Site) {
	for i := range sites {
		s, path := &sites[i], fmt.Sprintf("sites[%d].", i)
		for _, setting := range []struct {
			path string
			used bool
		}{
			{"mode", s.Mode == "observe"},
			{"grant", s.Grant != "client_credentials"},
			{"token_paths", len(s.TokenPaths) > 0},
			{"upstream.driver", s.Upstream.Driver == "oauth1-2loi"},
			{"groups.require", s.Groups.Require},
			{"groups.read_only", len(s.Groups.ReadOnly) > 0},
			{"sessions.ip", s.Sessions.IP},
			{"sessions.groups", s.Sessions.Groups},
			{"ip.restrict", s.IP.Restrict},
			{"public_restricted", len(s.PublicRestricted) > 0},
			{"bypass", len(s.Bypass) > 0},
			{"rate_limit.enabled", s.RateLimit.Enabled},
			{"stale.strict", s.Stale.Strict},
			{"audit.sync", s.Audit.Sync == "always"},
		} {
			if setting.used {
				k.warn(path+setting.path, notEnforced)
			}
		}
	}
}
