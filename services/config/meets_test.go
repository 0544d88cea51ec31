package config

import (
	"testing"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
)

// TestWhatATestIsMetBy: a call that is let in is one the node serves, as the user meant; what is away proves its own reason only, and
// what was merely observed nothing.
func TestWhatATestIsMetBy(t *testing.T) {
	t.Parallel()
	allow := func(status uint32, seen string) *gatewayv1.TrialReply {
		return &gatewayv1.TrialReply{Decision: "allow", Reason: "allowed", Status: status, User: "svc-api", SeenAs: seen, Row: "node"}
	}
	deny := func(status uint32, reason, row string) *gatewayv1.TrialReply {
		return &gatewayv1.TrialReply{Decision: "deny", Reason: reason, Status: status, Row: row}
	}
	observed := &gatewayv1.TrialReply{Decision: "pass", Reason: "anonymous", Observed: "ip_denied", Status: 401, Row: "node"}
	for name, c := range map[string]struct {
		reply        *gatewayv1.TrialReply
		expect, user string
		met          bool
	}{
		"served":                        {allow(200, "svc-api"), "allow", "SVC-API", true},
		"served, by its reason":         {allow(200, "svc-api"), "allowed", "", true},
		"served by a node that is mute": {allow(200, ""), "allow", "svc-api", true},
		"served as another":             {allow(200, "anonymous"), "allow", "svc-api", false},
		"meant for another":             {allow(200, "svc-api"), "allow", "alice", false},
		"not found":                     {allow(404, ""), "allow", "svc-api", false},
		"not found, nothing expected":   {allow(404, ""), "", "svc-api", false},
		"a page":                        {allow(302, ""), "allow", "", false},
		"broken":                        {allow(503, ""), "allowed", "", false},
		"refused":                       {deny(403, "read_only", "12 groups"), "deny", "", true},
		"refused for the reason":        {deny(403, "read_only", "12 groups"), "read_only", "", true},
		"refused for another":           {deny(403, "read_only", "12 groups"), "ip_denied", "", false},
		"away":                          {deny(503, "provider_unavailable", "10 who is it"), "deny", "", false},
		"away, as expected":             {deny(503, "provider_unavailable", "10 who is it"), "provider_unavailable", "", true},
		"no token":                      {deny(0, "token_not_issued", "fetch"), "deny", "", false},
		"no token, as expected":         {deny(0, "token_not_issued", "fetch"), "token_not_issued", "", true},
		"observed":                      {observed, "ip_denied", "", false},
		"observed, and passed":          {observed, "pass", "", true},
	} {
		if got := meets(c.reply, c.expect, c.user); got != c.met {
			t.Errorf("%s: %t", name, got)
		}
	}
}
