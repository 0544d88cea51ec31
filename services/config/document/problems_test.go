package document

import "testing"

func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	body := `
sites:
- id: Jira
  product: bamboo
  surprise: 1
  hosts: ["jira.example.com:8080", "A..b"]
  context_path: jira
  base_url: ftp://x
  nodes: [{id: n1, url: "http://u:p@h"}, {id: n1, url: "10.0.0.1:8080"}, {url: "http://h/path"}, {id: n4, url: "http://h:99999"}]
  enabled: "yes"
  mode: maybe
  methods: {basic: 1, magic: true}
  api_paths: ["rest/**", "/a/**/b", "/a*b"]
  token_paths: ["get /x", "/a?b"]
  grant: password
  providers:
  - {id: p, kind: nope, introspection_endpoint: "http://sso.example.com/i", client_id: g, client_secret: {value: x, env: Y}, cache: {max_ttl: 60, negative_ttl: 2h}}
  - {id: p, introspection_endpoint: "https://sso/i", required_scopes: ["a b"], service_account: nobody, clients: [{service_account: nobody}, {client_id: c}, {client_id: c}]}
  - {id: q, kind: entra, audience: x, caller_auth: tls}
  - {id: r, issuer: "https://i#f", client_secret: {file: ../x}, audience: x}
  upstream: {driver: basic, signed_url: "http://x", accounts: {"a:b": {value: x}, empty: {}, e: {env: HOME}, Same: {value: x}, same: {value: x}}, consumer_key: k}
  directory: {source: ldap}
  groups: {allowed: [""]}
  ip: {allow: ["10.0.0.1/8", "x", "::ffff:10.0.0.1"], proxy_header: "X Forwarded"}
  public_restricted: [7]
  rate_limit: {requests: 0, per: 5s}
  stale: {max: forever}
  tokens: {max_lifetime: 1ms, max_per_user: -1}
  audit: {sync: never, when_unavailable: ask}
- id: two
  product: jira
  nodes: [{id: n, url: "http://h"}]
  nodes: []
  upstream: {driver: oauth1-2loi, signed_url: "http://h/jira"}
  tests:
  - {}
  - {name: a, type: none, expect: Deny, client_ip: here, method: "G T", path: rest}
  - {name: a, type: none, credential: {value: x}, expect: deny, path: "/rest/x?a=1&OS_Password=hunter2", username: u}
  - {name: b, type: basic, credential: {value: x}, expect: deny, fetch: true}
  - {name: c, type: oauth, fetch: true, provider: nope, expect: deny}
  - {name: d, type: pat, expect: deny, path: "/rest/x?os_password=", client_id: c}
  directory: {source: crowd}
- id: two
  product: jira
  nodes: [{id: n, url: "http://h"}]
  directory: {url: "https://x", account: nobody}
  groups: {require: true}
- {}
audit: {retention: {max_days: 99999999, every: 0s}, x: {}}
`
	_, problems, _ := judge(body, YAML)
	want := []string{
		"audit.retention.every", "audit.retention.max_days", "audit.x",
		"sites[0].api_paths[0]", "sites[0].api_paths[1]", "sites[0].api_paths[2]",
		"sites[0].audit.sync", "sites[0].audit.when_unavailable", "sites[0].base_url", "sites[0].context_path",
		"sites[0].directory.source", "sites[0].enabled", "sites[0].grant", "sites[0].groups.allowed[0]",
		"sites[0].hosts[0]", "sites[0].hosts[1]", "sites[0].id",
		"sites[0].ip.allow[0]", "sites[0].ip.allow[1]", "sites[0].ip.allow[2]", "sites[0].ip.proxy_header",
		"sites[0].methods.basic", "sites[0].methods.magic", "sites[0].mode",
		"sites[0].nodes[0].url", "sites[0].nodes[1].id", "sites[0].nodes[1].url", "sites[0].nodes[2].id", "sites[0].nodes[2].url", "sites[0].nodes[3].url",
		"sites[0].product",
		"sites[0].providers[0]", "sites[0].providers[0].cache.max_ttl", "sites[0].providers[0].cache.negative_ttl",
		"sites[0].providers[0].client_secret", "sites[0].providers[0].kind",
		"sites[0].providers[1].client_id", "sites[0].providers[1].client_secret", "sites[0].providers[1].clients[0].client_id",
		"sites[0].providers[1].clients[0].service_account", "sites[0].providers[1].clients[2].client_id", "sites[0].providers[1].id",
		"sites[0].providers[1].required_scopes[0]", "sites[0].providers[1].service_account",
		"sites[0].providers[2].caller_auth", "sites[0].providers[2].issuer",
		"sites[0].providers[3].client_secret.file", "sites[0].providers[3].issuer",
		"sites[0].public_restricted[0]", "sites[0].rate_limit.per", "sites[0].rate_limit.requests", "sites[0].stale.max", "sites[0].surprise",
		"sites[0].token_paths[0]", "sites[0].token_paths[1]", "sites[0].tokens.max_lifetime", "sites[0].tokens.max_per_user",
		`sites[0].upstream.accounts.e.env`, "sites[0].upstream.accounts.empty", "sites[0].upstream.accounts.same", `sites[0].upstream.accounts["a:b"]`, "sites[0].upstream.consumer_key", "sites[0].upstream.signed_url",
		"sites[1].tests[0].name", "sites[1].tests[0].type", "sites[1].tests[0].expect",
		"sites[1].tests[1].expect", "sites[1].tests[1].client_ip", "sites[1].tests[1].method", "sites[1].tests[1].path",
		"sites[1].tests[2].name", "sites[1].tests[2].credential", "sites[1].tests[2].path", "sites[1].tests[2].username",
		"sites[1].tests[3].username", "sites[1].tests[3].fetch", "sites[1].tests[4].provider",
		"sites[1].tests[5].credential", "sites[1].tests[5].fetch",
		"sites[1].directory.url", "sites[1].nodes", "sites[1].upstream.consumer_key", "sites[1].upstream.private_key", "sites[1].upstream.signed_url",
		"sites[2].directory.account", "sites[2].directory.url", "sites[2].hosts", "sites[2].id",
		"sites[3].hosts", "sites[3].id", "sites[3].nodes", "sites[3].product",
	}
	got := map[string]bool{}
	for _, p := range problems {
		got[p.Path] = true
	}
	for _, p := range want {
		if !got[p] {
			t.Errorf("no problem at %s", p)
		}
		delete(got, p)
	}
	for p := range got {
		t.Errorf("an unexpected problem at %s: %v", p, problems)
	}
}
