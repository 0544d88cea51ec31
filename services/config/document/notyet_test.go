package document

import (
	"slices"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/google/go-cmp/cmp"
)

func TestWhatIsNotEnforcedIsSaid(t *testing.T) {
	t.Parallel()
	_, problems, warnings := judge(`
sites:
- id: jira
  product: jira
  mode: observe
  nodes: [{id: n1, url: "http://10.0.0.1:8080"}]
  methods: {product_oauth: true}
  grant: jwt
  token_paths: ["/rest/**"]
  providers: [{id: p, introspection_endpoint: "https://h/i", client_id: c, client_secret: {value: x}, audience: a, scope: read, service_account: svc}]
  upstream: {accounts: {svc: {value: x}, other: {value: x}}}
  directory: {source: crowd, url: "https://crowd", account: svc, max_age: 1m}
  groups: {require: true, allowed: [a], read_only: [b], token_creators: [c]}
  tokens: {max_lifetime: 30d, max_per_user: 3}
  sessions: {ip: true, groups: true}
  ip: {restrict: true, allow: ["10.0.0.0/8"], proxy_header: X-Forwarded-For, trusted_proxies: ["10.0.0.1"]}
  public_restricted: ["/rest/api/2/serverInfo"]
  bypass: ["/rest/api/2/field"]
  rate_limit: {enabled: true}
  stale: {strict: true}
`, YAML)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	warnings = slices.DeleteFunc(warnings, func(p fault.Problem) bool {
		return p.Message != notEnforced
	})
	want := []string{
		"sites[0].groups.token_creators",
		"sites[0].rate_limit.enabled", "sites[0].stale.strict",
	}
	if diff := cmp.Diff(want, paths(warnings)); diff != "" {
		t.Error(diff)
	}
}

// TestADefaultIsNotWarnedOf: nobody has asked for it.
func TestADefaultIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	_, problems, warnings := judge(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"upstream":{"accounts":{"svc":{"value":"x"}}}}]}`, JSON)
	if len(problems)+len(warnings) > 0 {
		t.Error(problems, warnings)
	}
}
