package topology

import (
	"fmt"
	"strings"
)

// ServerConf gives the part of a nats-server configuration file that lets the services in: one user each, by
// the public NKey given, with RightsOf as its rights.
func ServerConf(public map[Service]string) string {
	var b strings.Builder
	b.WriteString("authorization {\n  users: [\n")
	for _, s := range Users(public) {
		r := RightsOf(s)
		fmt.Fprintf(&b, "    { # %s\n      nkey: %s\n      permissions: {\n        publish: { allow: %s }\n        subscribe: { allow: %s }\n",
			s, public[s], list(r.Publish), list(r.Subscribe))
		if r.Answers {
			fmt.Fprintf(&b, "        allow_responses: { max: 1, expires: %q }\n", AnswerWithin)
		}
		b.WriteString("      }\n    }\n")
	}
	b.WriteString("  ]\n}\n")
	return b.String()
}

// RoutesConf gives the part of the cluster block of a nats-server configuration file that ties servers together: their
// addresses for each other, and the secret without which none is let in. Behind that port there are no rights: whoever
// is let in is a server, and reads and writes everything. The secret must need no escapes in a URL.
func RoutesConf(secret string, servers []string) string {
	var routes []string
	for _, s := range servers {
		routes = append(routes, "nats-route://routes:"+secret+"@"+s)
	}
	return fmt.Sprintf("authorization: { user: routes, password: %q }\nroutes: %s\n", secret, list(routes))
}

// list writes subjects as nats-server reads them; none of ours holds a quote.
func list(subjects []string) string {
	return `["` + strings.Join(subjects, `", "`) + `"]`
}
