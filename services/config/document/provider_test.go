package document

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/google/go-cmp/cmp"
)

// judgeProvider judges a document with one provider.
func judgeProvider(fields string) (configlog.Provider, []fault.Problem, []fault.Problem) {
	c, problems, warnings := judge(`{"sites":[{"id":"a","product":"jira","nodes":[{"id":"n","url":"http://h"}],
		"upstream":{"accounts":{"svc":{"value":"x"}}},"providers":[{"id":"p","clients":[{"client_id":"ci"}],"service_account":"svc",`+fields+`}]}]}`, JSON)
	if len(c.Sites) == 0 || len(c.Sites[0].Providers) == 0 {
		return configlog.Provider{}, problems, warnings
	}
	return c.Sites[0].Providers[0], problems, warnings
}

// TestHowAProviderIsJudged: what is left out is the preset's, and what is missing or in vain is named.
func TestHowAProviderIsJudged(t *testing.T) {
	t.Parallel()
	const client = `"client_id":"c","client_secret":{"value":"s"}`
	for _, c := range []struct{ fields, validation, callerAuth, problems, warnings string }{
		{`"introspection_endpoint":"https://h/i",` + client, "introspection", "client_secret_basic", "", ""},
		{`"issuer":"https://h",` + client, "introspection", "client_secret_basic", "", ""},
		{`"issuer":"https://h/"`, "jwt", "client_secret_basic", "", ""},
		{`"issuer":"https://h","validation":"jwt","jwks_uri":"https://h/keys"`, "jwt", "client_secret_basic", "", ""},
		{`"issuer":"https://h","validation":"jwt_and_introspection",` + client, "jwt_and_introspection", "client_secret_basic", "", ""},
		{`"issuer":"https://h","validation":"jwt_and_introspection"`, "jwt_and_introspection", "client_secret_basic", "client_id client_secret", ""},
		{`"kind":"entra","issuer":"https://h"`, "jwt", "none", "", ""},
		{`"kind":"entra"`, "jwt", "none", "issuer", ""},
		{`"kind":"entra","issuer":"https://h","validation":"introspection"`, "introspection", "none", "validation", ""},
		{`"kind":"auth0","issuer":"https://h/","caller_auth":"client_secret_basic",` + client, "jwt", "client_secret_basic", "", ""},
		{`"kind":"google"`, "tokeninfo", "none", "", ""},
		{`"kind":"google","validation":"jwt","issuer":"https://accounts.google.com"`, "jwt", "none", "validation", ""},
		{`"kind":"github",` + client, "token_check", "client_secret_basic", "", "kind"},
		{`"kind":"github"`, "token_check", "client_secret_basic", "client_id client_secret", "kind"},
		{`"kind":"github_enterprise",` + client, "token_check", "client_secret_basic", "introspection_endpoint", "kind"},
		{`"kind":"github_enterprise","introspection_endpoint":"https://h/api/v3/applications/{client_id}/token",` + client, "token_check", "client_secret_basic", "", "kind"},
		{`"kind":"gitlab","issuer":"https://gitlab.com",` + client, "introspection", "client_secret_post", "", "kind"},
		{`"kind":"hydra","introspection_endpoint":"http://127.0.0.1:4445/admin/oauth2/introspect"`, "introspection", "none", "", ""},
		{`"kind":"pingone","issuer":"https://h/as","caller_auth":"none"`, "jwt", "none", "", ""},
		{`"kind":"pingone","issuer":"https://h/as","caller_auth":"private_key_jwt","client_id":"c","validation":"introspection"`, "introspection", "private_key_jwt", "caller_auth", ""},
		{`"issuer":"https://h","caller_auth":"private_key_jwt","client_id":"c","private_key":{"value":"k"},"private_key_id":"1"`, "introspection", "private_key_jwt", "", ""},
		{`"issuer":"https://h","caller_auth":"private_key_jwt","client_id":"c"`, "introspection", "private_key_jwt", "private_key", ""},
		{`"issuer":"https://h","caller_auth":"private_key_jwt","private_key":{"value":"k"},` + client, "introspection", "private_key_jwt", "", "client_secret"},
		{`"issuer":"https://h","private_key":{"value":"k"},` + client, "introspection", "client_secret_basic", "", "private_key"},
		{`"issuer":"https://h","validation":"jwt","introspection_endpoint":"https://h/i"`, "jwt", "client_secret_basic", "", "introspection_endpoint"},
		{`"issuer":"https://h","jwks_uri":"https://h/k",` + client, "introspection", "client_secret_basic", "", "jwks_uri"},
		{`"validation":"jwt","jwks_uri":"https://h/k"`, "jwt", "client_secret_basic", "issuer", ""},
		{`"validation":"guess","issuer":"https://h"`, "guess", "client_secret_basic", "validation", ""},
		{`"issuer":"http://h.example.com"`, "jwt", "client_secret_basic", "issuer", ""},
		{`"issuer":"https://h","jwks_uri":"http://h.example.com/k"`, "jwt", "client_secret_basic", "jwks_uri", ""},
		{`"issuer":"https://h","authorization_endpoint":"https://h/a?p=x","token_endpoint":"https://h/t",` + client, "introspection", "client_secret_basic", "", ""},
		{`"issuer":"https://h","authorization_endpoint":"http://h.example.com/a","token_endpoint":"ftp://h/t"`, "jwt", "client_secret_basic", "authorization_endpoint token_endpoint", ""},
		{`"issuer":"https://h","client_secret":{"value":"s"}`, "jwt", "client_secret_basic", "", "client_secret"},
		{`"issuer":"https://h?x"`, "jwt", "client_secret_basic", "issuer", ""},
		{`"issuer":"https://h","token_prefix":"a b",` + client, "introspection", "client_secret_basic", "token_prefix", ""},
		{`"issuer":"https://h","token_prefix":"ory_at_",` + client, "introspection", "client_secret_basic", "", ""},
		{`"issuer":"https://h","token_prefix":"ory_at_"`, "jwt", "client_secret_basic", "", "token_prefix"},
		{`"issuer":"https://h","username_claim":"upn","username_regex":"^CORP\\\\(.+)$"`, "jwt", "client_secret_basic", "", ""},
		{`"issuer":"https://h","username_claim":"upn","username_regex":"("`, "jwt", "client_secret_basic", "username_regex", ""},
		{`"issuer":"https://h","username_regex":".*"`, "jwt", "client_secret_basic", "username_regex", ""},
		{`"kind":"hydra","issuer":"https://h","client_id":"x"`, "introspection", "none", "introspection_endpoint", ""},
		{`"kind":"hydra","issuer":"https://h"`, "jwt", "none", "", ""},
		{`"kind":"entra","issuer":"https://login.microsoftonline.com/common/v2.0"`, "jwt", "none", "issuer", ""},
		{`"kind":"cognito","issuer":"https://h","audience":"a"`, "jwt", "none", "audience", ""},
		{`"kind":"okra"`, "", "", "kind", ""},
	} {
		p, problems, warnings := judgeProvider(c.fields)
		strip := func(all []fault.Problem) string {
			var names []string
			for _, path := range paths(all) {
				names = append(names, strings.TrimPrefix(path, "sites[0].providers[0]."))
			}
			slices.Sort(names)
			return strings.Join(names, " ")
		}
		got := []string{p.Validation, p.CallerAuth, strip(problems), strip(warnings)}
		if diff := cmp.Diff([]string{c.validation, c.callerAuth, c.problems, c.warnings}, got); diff != "" {
			t.Errorf("%s: %s%v %v", c.fields, diff, problems, warnings)
		}
	}
}

// TestGoogleIsOpenToTheWorld: anybody can make a client of it, with any scope.
func TestGoogleIsOpenToTheWorld(t *testing.T) {
	t.Parallel()
	for closed, want := range map[string]int{`"required_scopes":["email"]`: 1, `"clients":[{"client_id":"x"}]`: 0, `"audience":"x"`: 0} {
		_, problems, _ := judge(`{"sites":[{"id":"a","product":"jira","nodes":[{"id":"n","url":"http://h"}],
			"upstream":{"accounts":{"svc":{"value":"x"}}},"providers":[{"id":"p","kind":"google","service_account":"svc",`+closed+`}]}]}`, JSON)
		if len(problems) != want || want > 0 && !strings.Contains(problems[0].Message, "open_to_all_clients") {
			t.Errorf("%s: %v", closed, problems)
		}
	}
}

// TestEveryPresetCanBeConfigured with what its patterns ask for.
func TestEveryPresetCanBeConfigured(t *testing.T) {
	t.Parallel()
	for _, preset := range presets.All() {
		filled := strings.NewReplacer("{", "", "}", "", " ", "", ",", "", "…", "x")
		endpoint := strings.ReplaceAll(preset.Endpoint, "{issuer}", preset.Issuer)
		fields := `"kind":"` + preset.Kind + `","client_id":"c","client_secret":{"value":"s"},"allow_plain_http":true,"caller_auth":"` + preset.CallerAuth[0] + `"`
		if preset.Issuer != "" {
			fields += `,"issuer":"` + filled.Replace(preset.Issuer) + `"`
		}
		if endpoint != "" {
			fields += `,"introspection_endpoint":"` + filled.Replace(endpoint) + `"`
		}
		for _, way := range preset.Validations {
			if _, problems, _ := judgeProvider(fields + `,"validation":"` + string(way) + `"`); len(problems) > 0 {
				t.Errorf("%s, %s: %v", preset.Kind, way, problems)
			}
		}
		if preset.Title == "" || preset.Revocation == "" || !strings.HasPrefix(preset.Source, "https://") || preset.Issues == 0 || len(preset.Reading.Client) == 0 {
			t.Errorf("%s is not whole", preset.Kind)
		}
	}
}

// TestProvidersThatAreAlike: where nothing tells whose an opaque token is, it is shown to both.
func TestProvidersThatAreAlike(t *testing.T) {
	t.Parallel()
	provider := func(id, more string) string {
		return `{"id":"` + id + `","introspection_endpoint":"https://h/` + id + `","client_id":"c","client_secret":{"value":"s"},"audience":"a","service_account":"svc"` + more + `}`
	}
	for _, c := range []struct {
		providers []string
		warned    string
	}{
		{[]string{provider("a", ""), provider("b", "")}, "sites[0].providers[1].token_prefix"},
		{[]string{provider("a", ""), provider("b", `,"token_prefix":"b_"`)}, ""},
		{[]string{provider("a", ""), provider("b", `,"validation":"jwt_and_introspection","issuer":"https://h"`)}, ""},
		{[]string{provider("a", ""), strings.Replace(provider("b", `,"kind":"auth0","issuer":"https://h"`), `"introspection_endpoint":"https://h/b",`, "", 1)}, ""},
		{[]string{provider("a", "")}, ""},
	} {
		_, problems, warnings := judge(`{"sites":[{"id":"a","product":"jira","nodes":[{"id":"n","url":"http://h"}],"upstream":{"accounts":{"svc":{"value":"x"}}},"providers":[`+
			strings.Join(c.providers, ",")+`]}]}`, JSON)
		if got := strings.Join(paths(warnings), " "); len(problems) > 0 || got != c.warned {
			t.Errorf("%v: %v %q, want %q", c.providers, problems, got, c.warned)
		}
	}
}
