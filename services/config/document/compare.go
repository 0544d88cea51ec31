package document

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Compare warns of what is dangerous about a change, though both configurations are sound.
func Compare(from, to *configlog.Config) []fault.Problem {
	var k checker
	for i := range from.Sites {
		if to.Site(from.Sites[i].ID) == nil {
			k.warn("sites", "site "+from.Sites[i].ID+" is removed: calls to it are answered site_unknown")
		}
	}
	for i := range to.Sites {
		was := from.Site(to.Sites[i].ID)
		if was == nil {
			continue
		}
		for j := range to.Sites[i].Providers {
			now := &to.Sites[i].Providers[j]
			then := was.Provider(now.ID)
			kept := then != nil && !now.ClientSecret.IsZero() && then.ClientSecret == now.ClientSecret
			if kept && moved(cmp.Or(then.TokenEndpoint, then.Issuer, then.IntrospectionEndpoint), cmp.Or(now.TokenEndpoint, now.Issuer, now.IntrospectionEndpoint)) && now.TokenEndpoint != "" {
				k.warn(at(at("sites", i)+".providers", j)+".token_endpoint", "is at another host, which gets the client secret that was kept")
			}
			if kept && moved(cmp.Or(then.IntrospectionEndpoint, then.Issuer), cmp.Or(now.IntrospectionEndpoint, now.Issuer)) {
				k.warn(at(at("sites", i)+".providers", j)+".introspection_endpoint", "is at another host, which gets the client secret that was kept")
			}
		}
	}
	return k.warnings
}

func moved(from, to string) bool {
	a, err := url.Parse(from)
	b, otherErr := url.Parse(to)
	return cmp.Or(err, otherErr) == nil && from != "" && to != "" && !strings.EqualFold(a.Host, b.Host)
}
