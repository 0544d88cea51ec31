package topology

import (
	"fmt"
	"strings"
)

// ServerConf gives the part of a nats-server configuration file that lets the services in: one user each, by
// the public NKey given, with RightsOf as its rights. A service without a key gets no user.
func ServerConf(public map[Service]string) string {
	var b strings.Builder
	b.WriteString("authorization {\n  users: [\n")
	for _, s := range Services() {
		if public[s] == "" {
			continue
		}
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

// list writes subjects as nats-server reads them; none of ours holds a quote.
func list(subjects []string) string {
	return `["` + strings.Join(subjects, `", "`) + `"]`
}
