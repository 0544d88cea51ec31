package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

// clientGrant is the grant whose tokens act as service accounts; the others' act as users.
const clientGrant = "client_credentials"

// GrantSwitches tells, for each site whose grant another document changes, what stops working. A site without providers has
// no tokens that could.
func GrantSwitches(from, to *configlog.Config) (stops []fault.Problem) {
	for i := range to.Sites {
		now := &to.Sites[i]
		then := from.Site(now.ID)
		if then == nil || then.Grant == now.Grant || len(then.Providers) == 0 {
			continue
		}
		message := fmt.Sprintf("from %s to %s: ", then.Grant, now.Grant)
		switch {
		case then.Grant == clientGrant:
			message += "tokens of clients no longer act as " + strings.Join(serviceAccounts(then), ", ") + ", and are refused"
		case now.Grant == clientGrant:
			message += "tokens of users are refused (not_a_client_token)"
		default:
			message += "users obtain their tokens in another way"
		}
		stops = append(stops, fault.Problem{Path: at("sites", i) + ".grant", Message: message})
	}
	return stops
}

// serviceAccounts gives whom the tokens of a site's clients act as.
func serviceAccounts(s *configlog.Site) (all []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, p := range s.Providers {
		add(p.ServiceAccount)
		for _, c := range p.Clients {
			add(c.ServiceAccount)
		}
	}
	if len(all) == 0 {
		all = []string{"service accounts"}
	}
	return all
}

// users warns of what keeps the users of a grant out.
func (k *checker) users(path string, s *configlog.Site) {
	if s.Grant == "client_credentials" {
		return
	}
	if s.Upstream.Driver != "oauth1-2loi" {
		k.warn(path+".grant", "a token acts as the user it names, and only those under upstream.accounts have a credential: driver oauth1-2loi acts as anybody")
	}
	if s.Grant == "authorization_code" && s.BaseURL == "" {
		k.warn(path+".base_url", "is empty: the redirect URI of sign-ins is made of whatever host the browser called")
	}
	for i := range s.Providers {
		p, where := &s.Providers[i], at(path+".providers", i)
		switch preset, _ := presets.Of(p.Kind); {
		case s.Grant != "authorization_code":
		case p.ClientID == "":
			k.warn(where+".client_id", "is empty: nobody can sign in at this provider to get a token")
		case p.Issuer == "" && preset.SignIn.Authorization == "" && (p.AuthorizationEndpoint == "" || p.TokenEndpoint == ""):
			k.warn(where+".authorization_endpoint", "is needed for people to sign in, and token_endpoint, where no issuer is given whose discovery document names them")
		}
	}
}
