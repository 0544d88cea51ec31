package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
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
