package document

import (
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

const notEnforced = "is kept, but not enforced by this version"

// setting is one that this version keeps and does not obey.
type setting struct {
	path string
	used bool // it says something else than its default
}

// notYet warns of what is configured and not enforced by this version, so that nobody relies on it. It is held
// against what the gateway's rows (row_later.go), introspection and audit read of a configuration. Each line goes
// when its row is built. A default is never warned of: nobody has asked for it.
func (k *checker) notYet(c *configlog.Config) {
	for i := range c.Sites {
		s, path := &c.Sites[i], at("sites", i)+"."
		k.unused(path, laterForCallers(s))
		k.unused(path, laterForTokens(s))
	}
}

func (k *checker) unused(path string, settings []setting) {
	for _, s := range settings {
		if s.used {
			k.warn(path+s.path, notEnforced)
		}
	}
}

// laterForCallers are the rules about who may call, from where and how often.
func laterForCallers(s *configlog.Site) []setting {
	return []setting{
		{"rate_limit.enabled", s.RateLimit.Enabled},
		{"stale.strict", s.Stale.Strict},
	}
}

// laterForTokens are the rules about tokens, and about whom a call acts as.
func laterForTokens(s *configlog.Site) []setting {
	return []setting{
		{"groups.token_creators", len(s.Groups.TokenCreators) > 0},
	}
}
