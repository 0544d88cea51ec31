package presets_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

var update = flag.Bool("update", false, "write docs/reference/providers.md")

func token(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + ".c2ln"
}

func TestLook(t *testing.T) {
	t.Parallel()
	const rs = `{"alg":"RS256"}`
	for value, want := range map[string]presets.Token{
		token(rs, `{"iss":"https://a"}`):              {Signed: true, Issuer: "https://a"},
		token(rs, `{"iss":["https://a"]}`):            {Signed: true},
		token(rs, `{}`):                               {Signed: true},
		token(rs, `not JSON`):                         {Signed: true},
		token(`{"typ":"JWT"}`, `{"iss":"https://a"}`): {},
		token(`[]`, `{"iss":"https://a"}`):            {},
		"":                                            {},
		"opaque":                                      {},
		"a.b":                                         {},
		"a.b.c":                                       {},
		"ya29.a0Af_x.y-z":                             {},
		token(rs, `{"iss":"https://a"}`) + ".four":       {},
		"=" + token(rs, `{"iss":"https://a"}`):           {},
		token(rs, `{"iss":"https://a","iss":"evil"}`):    {Signed: true, Issuer: "evil"},
		token(rs, `{"iss":"`+strings.Repeat("x", 9)+`"`): {Signed: true},
	} {
		got := presets.Look(value)
		if got.Signed != want.Signed || got.Issuer != want.Issuer {
			t.Errorf("%.60s: %+v", value, got)
		}
	}
}

// TestIssuers: a token is shown to none that cannot have issued it.
func TestIssuers(t *testing.T) {
	t.Parallel()
	all := map[string]configlog.Provider{
		"corp": {Kind: "custom", IntrospectionEndpoint: "https://c/i", ClientID: "x"}, "named": {Kind: "keycloak", Issuer: "https://n", ClientID: "x"},
		"slash": {Kind: "auth0", Issuer: "https://s/"}, "signs": {Kind: "custom", Issuer: "https://j", Validation: "jwt"},
		"google": {Kind: "google"}, "github": {Kind: "github"}, "hydra": {Kind: "hydra", Issuer: "https://h", ClientID: "x", TokenPrefix: "ory_at_"},
		"later": {Kind: "of a later version"}, "twin": {Kind: "keycloak", Issuer: "https://n/", ClientID: "y"},
	}
	of := func(iss string) string { return token(`{"alg":"ES256"}`, `{"iss":"`+iss+`"}`) }
	for _, c := range []struct{ token, have, want string }{
		{of("https://n"), "corp named slash signs google github hydra", "named"},
		{of("https://n"), "corp named twin", "named twin"},
		{of("https://s"), "corp slash", "slash"},
		{of("https://elsewhere"), "corp named slash signs", "corp"},
		{of("https://elsewhere"), "named slash signs google github", ""},
		{of(""), "corp named google", "corp named"},
		{of("https://n"), "google github", ""},
		{of("https://n.evil"), "named", ""},
		{"opaque", "corp named slash signs google github hydra", "corp"},
		{"opaque", "slash signs google github hydra", ""},
		{"ya29.x", "corp google github hydra", "google"},
		{"gho_x", "corp google github", "github"},
		{"ghu_x", "github corp", "github"},
		{"ghp_x", "github", ""},
		{"gho_x", "corp", ""},
		{"ya29.x", "corp hydra", ""},
		{"github_pat_x", "corp github", ""},
		{"glpat-x", "corp", ""},
		{"ory_at_x", "corp hydra", "hydra"},
		{"ory_rt_x", "corp hydra", "corp"},
		{"opaque", "later", "later"},
		{of("https://x"), "later", "later"},
		{"opaque", "", ""},
	} {
		var issuers []presets.Issuer
		names := strings.Fields(c.have)
		for _, name := range names {
			p := all[name]
			issuers = append(issuers, presets.IssuerOf(&p))
		}
		var got []string
		for _, i := range presets.Issuers(issuers, presets.Look(c.token)) {
			got = append(got, names[i])
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%.30s among %s: %s", c.token, c.have, diff)
		}
	}
}

// FuzzLook: whatever comes as a token, what is read of it is no more than it holds.
func FuzzLook(f *testing.F) {
	f.Add(token(`{"alg":"RS256"}`, `{"iss":"https://a"}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, value string) {
		if got := presets.Look(value); len(got.Issuer) > len(value) || got.Issuer != "" && !got.Signed {
			t.Errorf("%+v", got)
		}
	})
}

// TestPrinted writes docs/reference/providers.md, or holds it against the presets.
func TestPrinted(t *testing.T) {
	t.Parallel()
	const file = "../../docs/reference/providers.md"
	want := printed()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("go test ./shared/presets -update: %s", diff)
	}
}

func printed() string {
	var b strings.Builder
	b.WriteString(`# Identity providers

Written by ` + "`go test ./shared/presets -update`" + ` from the presets, which the document's checks, the introspection service and the gateways read.
` + "`kind`" + ` names one; whatever is not here is ` + "`custom`" + `. What is left out in the document is the first of each list. Where an issuer is given,
its discovery document (OpenID Connect Discovery, RFC 8414) says where it introspects and publishes its keys.

`)
	for _, p := range presets.All() {
		fmt.Fprintf(&b, "## %s: `kind: %s`\n\n| | |\n|---|---|\n", p.Title, p.Kind)
		row := func(name, value string) {
			if value != "" {
				fmt.Fprintf(&b, "| %s | %s |\n", name, value)
			}
		}
		code := func(list []string) string {
			var out []string
			for _, s := range list {
				out = append(out, "`"+s+"`")
			}
			return strings.Join(out, " ")
		}
		var ways []string
		for _, v := range p.Validations {
			ways = append(ways, string(v))
		}
		row("`validation`", code(ways))
		if p.Issuer != "" {
			row("`issuer`", code([]string{p.Issuer}))
		}
		if p.Endpoint != "" {
			row("`introspection_endpoint`", code([]string{p.Endpoint}))
		}
		if !slices.Equal(p.CallerAuth, []string{"none"}) {
			row("`caller_auth`", code(p.CallerAuth))
		} else {
			row("`caller_auth`", "`none`: no client of ours is needed")
		}
		row("Tokens", tokens(&p))
		row("Client", code(p.Reading.Client))
		row("Scopes", code(p.Reading.Scopes))
		user := code(p.Reading.Names)
		if p.UserInfo {
			user += ", of the reply or of userinfo"
		}
		row("User", user)
		row("A person's", person(&p))
		row("Revoked", p.Revocation)
		row("Mind", p.Traps)
		row("Source", p.Source)
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func tokens(p *presets.Preset) string {
	out := map[presets.Shape]string{presets.Signed: "signed (JWT)", presets.Opaque: "opaque", presets.Either: "signed (JWT) or opaque"}[p.Issues]
	if len(p.Prefixes) > 0 {
		out += ", beginning with `" + strings.Join(p.Prefixes, "` or `") + "`"
	}
	return out
}

func person(p *presets.Preset) string {
	how := p.Reading.Person
	if how.Always {
		return "every one"
	}
	var signs []string
	for i, sign := range append(slices.Clone(how.By), how.Signed...) {
		out := "`" + sign.Member + "` is there"
		if len(sign.Client) > 0 {
			out = "`" + sign.Member + "` is other than `" + strings.Join(sign.Client, "` `") + "`"
		}
		if i >= len(how.By) {
			out += " (signed tokens)"
		}
		signs = append(signs, out)
	}
	out := "the first that is there: " + strings.Join(signs, "; ")
	if how.Proof {
		out += "; none is there"
	}
	return out
}
