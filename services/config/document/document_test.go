package document

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example is the document of design/architecture.md with its secrets as references.
func example(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// judge reads and checks a document; every secret given by value counts as kept.
func judge(body string, syntax Syntax) (configlog.Config, []fault.Problem, []fault.Problem) {
	d, problems := Read([]byte(body), syntax)
	if d == nil {
		return configlog.Config{}, problems, nil
	}
	EachSecret(&d.Config, func(p Place, s configlog.Secret) configlog.Secret {
		if _, given := d.Plain[p.Key]; given {
			return configlog.Secret{Ref: "r", Version: 1, Fingerprint: "f"}
		}
		return s
	})
	found, warnings := Check(&d.Config)
	return d.Config, Join(problems, found), append(d.Warnings, warnings...)
}

func paths(problems []fault.Problem) []string {
	out := []string{}
	for _, p := range problems {
		out = append(out, p.Path)
	}
	return out
}

func TestExample(t *testing.T) {
	t.Parallel()
	_, problems, warnings := judge(string(example(t)), YAML)
	if len(problems) > 0 || len(warnings) > 0 {
		t.Fatalf("problems %v, warnings %v", problems, warnings)
	}
}

func TestDefaultsAreThoseOfTheExample(t *testing.T) {
	t.Parallel()
	// What the example writes out is what the default is, except for what has none.
	full, _, _ := judge(string(example(t)), YAML)
	bare, problems, _ := judge(`{"sites":[{"id":"jira","product":"jira","hosts":["jira.example.com"],"base_url":"https://jira.example.com",
		"nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],
		"providers":[{"id":"corp","name":"Corp SSO","introspection_endpoint":"https://sso.example.com/introspect","client_id":"gatehouse",
			"client_secret":{"value":"x"},"required_scopes":["read"],"service_account":"svc-api"}],
		"upstream":{"accounts":{"svc-api":{"value":"x"}}}}]}`, JSON)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(Shown(full), Shown(bare)); diff != "" {
		t.Fatal(diff)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want, _, _ := judge(string(example(t)), YAML)
	for _, syntax := range []Syntax{JSON, YAML} {
		body, err := Write(Shown(want), syntax)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "null") {
			t.Errorf("%s holds null:\n%s", syntax, body)
		}
		got, problems, _ := judge(string(body), syntax)
		if diff := cmp.Diff(Shown(want), Shown(got)); diff != "" || len(problems) > 0 {
			t.Errorf("%s: %v\n%s\n%s", syntax, problems, diff, body)
		}
	}
}

func TestYAMLKeepsTextText(t *testing.T) {
	t.Parallel()
	in := map[string]any{"a": "true", "b": "1", "c": "null", "d": "1e3", "e": "2020-01-01", "f": "- x", "g": "a: b", "h": "#", "i": "", "j": " x ", "k": "no", "l": "0x1f", "m": "~", "n": "é☃", "o": "*a", "p": 7, "q": true, "r": nil}
	body, err := Write(in, YAML)
	if err != nil {
		t.Fatal(err)
	}
	v, err := readYAML(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range v.members {
		switch want := in[m.name].(type) {
		case string:
			if m.value.kind != text || m.value.text != want {
				t.Errorf("%s: %q became %v %q", m.name, want, m.value.kind, m.value.text)
			}
		case nil:
			if m.value.kind != null {
				t.Errorf("%s became %v", m.name, m.value.kind)
			}
		default:
			if m.value.text != fmt.Sprint(want) {
				t.Errorf("%s became %v", m.name, m.value)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	for name, c := range map[string]struct {
		syntax  Syntax
		body    string
		message string
	}{
		"nothing":              {JSON, "", "not JSON"},
		"nothing in YAML":      {YAML, "", ""},
		"comments only":        {YAML, "# hello\n", ""},
		"null":                 {JSON, "null", "not null"},
		"a list":               {JSON, "[]", "not a list"},
		"text":                 {YAML, "hunter2hunter2", "not text"},
		"trailing data":        {JSON, `{"sites":[]} {}`, "line 1, column 14"},
		"half":                 {JSON, "{\"sites\":\n[", "line 2"},
		"trailing comma":       {JSON, `{"sites":[],}`, "not JSON"},
		"two documents":        {YAML, "sites: []\n---\nsites: []\n", "document"},
		"not UTF-8":            {JSON, "{\"sites\":\"\xff\"}", "UTF-8"},
		"not UTF-8 in YAML":    {YAML, "sites: \xff", "UTF-8"},
		"deep":                 {JSON, deep, "deeper"},
		"deep YAML":            {YAML, strings.Repeat("[", 5000), ""},
		"alias bomb":           {YAML, bomb, "200000"},
		"alias of itself":      {YAML, "sites: &a [*a]\n", ""},
		"unknown alias":        {YAML, "sites: *hunter2hunter2\n", "line 1"},
		"merge":                {YAML, "<<: {}\n", "plain text"},
		"a list as key":        {YAML, "? [a]\n: b\n", "plain text"},
		"tag":                  {YAML, "sites: !!binary aGVsbG8=\n", "tag"},
		"tabs":                 {YAML, "sites:\n\t- id: x\n", "line 2"},
		"nothing but an alias": {YAML, "*x", ""},
	} {
		d, problems := Read([]byte(c.body), c.syntax)
		if d != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, c.message) || problems[0].Path != "" {
			t.Errorf("%s: draft %t, %v", name, d != nil, problems)
		}
		if strings.Contains(fmt.Sprint(problems), "hunter2") {
			t.Errorf("%s: the text is repeated: %v", name, problems)
		}
	}
}

// TestNothingOfATextThatCannotBeReadIsRepeated: a secret may stand where reading ends, whatever is around it.
func TestNothingOfATextThatCannotBeReadIsRepeated(t *testing.T) {
	t.Parallel()
	const mark = "hunter2"
	for _, given := range []string{
		"*" + mark, "*hun'ter2" + mark, `*hun"ter2` + mark, "*a'" + mark + "'b", "&" + mark + "*", "!" + mark, "!<" + mark, "!a!" + mark + " x", "@" + mark, "`" + mark,
		"%" + mark, "|" + mark, ">" + mark, "'" + mark, `"` + mark, `"\` + mark + `"`, `"\x` + mark + `"`, "[" + mark, "{" + mark, "{" + mark + ": {", mark + ": " + mark + ": x",
		mark + "\n\t" + mark, "- " + mark + "\n  x: *" + mark, "? " + mark + "\n? ", "{" + mark + "}]", "<<: *" + mark, "%TAG ! " + mark, "%YAML " + mark, "*" + mark + " : *" + mark,
	} {
		for _, before := range []string{"value: ", "", "sites:\n- value: "} {
			_, problems := Read([]byte(before+given+"\n"), YAML)
			for _, p := range problems {
				if strings.Contains(p.Message, "ter2") || p.Path == "" && strings.Contains(p.Message, "hun") {
					t.Errorf("%q in YAML: %v", before+given, p)
				}
			}
		}
		for _, before := range []string{`{"value":`, "", `{"value":"x"`, `{"value":1`, `{"value":tru`} {
			if _, problems := Read([]byte(before+given), JSON); len(problems) != 1 || strings.ContainsAny(problems[0].Message, `'"`) || strings.Contains(problems[0].Message, "ter2") {
				t.Errorf("%q in JSON: %v", before+given, problems)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	_, problems, warnings := judge(`
sites:
- id: jira
  product: jira
  hosts: [jira.example.com]
  context_path: /jira
  base_url: https://other.example.com/x
  nodes: [{id: n1, url: "http://h:1"}, {id: n2, url: "http://h:1/"}]
  methods: {basic: false, oauth: false, pat: false, api_tokens: false, links: false}
  providers: [{id: p, introspection_endpoint: "http://sso.example.com/i", allow_plain_http: true, client_id: g, caller_auth: none, client_secret: {value: x}, audience: a}, {id: e, kind: entra, issuer: "https://i", audience: a, service_account: svc}, {id: k, issuer: "https://i", audience: a, service_account: svc}]
  token_creation: false
  groups: {require: true, token_creators: [devs]}
  directory: {source: crowd, url: "http://crowd.example.com/crowd", account: svc}
  upstream: {accounts: {svc: {value: x}}}
  ip: {restrict: true, trusted_proxies: ["10.0.0.1", "10.0.0.1"]}
  public_restricted: ["/secure/x", "/rest/api/2/serverInfo", "/rest//x", "FETCH /rest/x"]
  bypass: ["/rest/api/**", "/jira/rest/x", "/plugins/servlet/restauth/token", "/**"]
`, YAML)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []string{
		"sites[0].ip.trusted_proxies[1]",
		"sites[0].base_url", "sites[0].base_url",
		"sites[0].bypass[1]", "sites[0].bypass[2]", "sites[0].bypass[3]",
		"sites[0].directory.url", "sites[0].groups.allowed", "sites[0].groups.token_creators",
		"sites[0].ip.allow", "sites[0].ip.trusted_proxies", "sites[0].methods", "sites[0].nodes[1].url",
		"sites[0].providers", "sites[0].providers[0].introspection_endpoint", "sites[0].providers[0].service_account",
		"sites[0].public_restricted[0]", "sites[0].public_restricted[1]", "sites[0].public_restricted[2]", "sites[0].public_restricted[2]",
		"sites[0].public_restricted[3]", "sites[0].public_restricted[3]",
	}
	warnings = slices.DeleteFunc(warnings, func(p fault.Problem) bool { return p.Message == notEnforced })
	if diff := cmp.Diff(want, paths(warnings)); diff != "" {
		t.Fatalf("%s\n%v", diff, warnings)
	}
}

// TestRetentionIsWarnedOf where what it removes, or does not, may be a slip.
func TestRetentionIsWarnedOf(t *testing.T) {
	t.Parallel()
	for retention, want := range map[string][]string{
		`{"max_days":90}`:                        {},
		`{"max_days":7,"max_entries":100000}`:    {},
		`{"max_days":0}`:                         {"audit.retention"},
		`{"max_days":0,"max_entries":500000000}`: {},
		`{"max_days":1}`:                         {"audit.retention.max_days"},
		`{"max_days":6,"max_entries":99999}`:     {"audit.retention.max_days", "audit.retention.max_entries"},
	} {
		_, problems, warnings := judge(`{"audit":{"retention":`+retention+`}}`, JSON)
		if diff := cmp.Diff(want, paths(warnings)); diff != "" || len(problems) > 0 {
			t.Errorf("%s: %v %s", retention, problems, diff)
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	c, problems, _ := judge(`{"sites":[{"id":"a","product":"jira","hosts":["JIRA.Example.COM."],"context_path":"/jira/","base_url":"https://jira.example.com/jira/",
		"nodes":[{"id":"n","url":"http://h:1/"}],"ip":{"allow":["2001:DB8:0::/32","10.0.0.1"]},"upstream":{"accounts":{"svc":{"env":"GATEHOUSE_SECRET_X"}}}}]}`, JSON)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s := c.Sites[0]
	got := []string{s.Hosts[0], s.ContextPath, s.BaseURL, s.Nodes[0].URL, s.IP.Allow[0], s.IP.Allow[1], s.Directory.Account}
	want := []string{"jira.example.com", "/jira", "https://jira.example.com/jira", "http://h:1", "2001:db8::/32", "10.0.0.1", "svc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestSecretShapes(t *testing.T) {
	t.Parallel()
	for given, problem := range map[string]string{
		`"hunter2"`:               "client_secret",
		`{"hunter2":1}`:           "client_secret",
		`{"value":"a","ref":"b"}`: "client_secret",
		`{"version":1}`:           "client_secret",
		`{"env":"GATEHOUSE_SECRET_A","version":1}`:        "client_secret",
		`{"value":12345}`:                                 "client_secret.value",
		`{"value":""}`:                                    "client_secret.value",
		`{"value":"a","value":"b"}`:                       "client_secret.value",
		`{"value":"` + strings.Repeat("x", 17<<10) + `"}`: "client_secret.value",
		`{"ref":"a","version":-1}`:                        "client_secret.version",
		`{"env":"PATH"}`:                                  "client_secret.env",
		`{"env":"GATEHOUSE_SECRET_a b"}`:                  "client_secret.env",
		`{"file":"/etc/passwd"}`:                          "client_secret.file",
		`{"file":"a/../../x"}`:                            "client_secret.file",
		`{}`:                                              "client_secret",
		`null`:                                            "client_secret",
		`{"value":"a"}`:                                   "",
		`{"value":"a","ref":null}`:                        "",
		`{"ref":"a","version":1,"fingerprint":"f"}`:       "",
		`{"env":"GATEHOUSE_SECRET_A"}`:                    "",
		`{"file":"a/b"}`:                                  "",
	} {
		_, problems, _ := judge(`{"sites":[{"id":"a","product":"jira","nodes":[{"id":"n","url":"http://h"}],"providers":[{"id":"p","audience":"a","client_id":"c",
			"introspection_endpoint":"https://h/i","client_secret":`+given+`}]}]}`, JSON)
		want := []string{}
		if problem != "" {
			want = append(want, "sites[0].providers[0]."+problem)
		}
		if diff := cmp.Diff(want, paths(problems)); diff != "" {
			t.Errorf("%.60s: %s", given, diff)
		}
		if strings.Contains(fmt.Sprint(problems), "hunter2") {
			t.Errorf("%s is repeated: %v", given, problems)
		}
	}
}

func TestPlainIsNeverShown(t *testing.T) {
	t.Parallel()
	d := &Draft{Plain: map[string]Plain{"p": newPlain("hunter2")}}
	hidden := struct{ p Plain }{newPlain("hunter2")}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v", d.Plain, d.Plain, d.Plain, d.Plain["p"], d.Plain["p"], d.Plain["p"], d.Plain["p"], hidden, hidden, hidden)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("plain", d.Plain["p"]), slog.Any("draft", d))
	if _, err := json.Marshal(d); err == nil {
		t.Error("it is marshalled")
	}
	if all := shown + log.String(); strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74657232") {
		t.Error(all)
	}
	if d.Plain["p"].Reveal() != "hunter2" || (Plain{}).Reveal() != "" {
		t.Error("it is lost")
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	t.Parallel()
	_, problems, _ := judge(`{"sites":[`+strings.TrimSuffix(strings.Repeat(`{"id":7},`, 30_000), ",")+`]}`, JSON)
	if n := len(problems); n < maxProblems || n > 2*maxProblems+2 {
		t.Fatalf("%d problems", n)
	}
	if !slices.Contains(problems, fault.Problem{Message: "and more"}) {
		t.Error("that there are more is not said")
	}
}

func TestPatternsAreTheGateways(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"/", "/a", "/a/", "/*", "/**", "/a/*/b", "/a/**", "/**/a", "/a*", "/a**", "", "a", "GET /a", "get /a", " /a", "GET  /a", "GET a",
		"/a//b", "/a/./b", "/a/../b", "/a?b", "/a#b", "/a%20b", "/a;b", `/a\b`, "GET", "PROPFIND /a", "/é", "/a b",
	} {
		_, wrong := parsePattern(p)
		if err := rules.Check(p); (err != nil) != (wrong != "") {
			t.Errorf("%q: here %q, at the gateways %v", p, wrong, err)
		}
	}
}

func TestMeetsAndCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b          string
		meets, covers bool
	}{
		{"/rest/**", "/rest/api/2", true, true},
		{"/rest/**", "/rest", true, true},
		{"/rest/**", "/restful", false, false},
		{"/rest/api/2", "/rest/**", true, false},
		{"/rest/*/2", "/rest/api/*", true, false},
		{"/*", "/a", true, true},
		{"/a", "/*", true, false},
		{"/a/b", "/a", false, false},
		{"/**", "/**", true, true},
	} {
		a, b := segments(c.a), segments(c.b)
		if meets(a, b) != c.meets || meets(b, a) != c.meets || covers(a, b) != c.covers {
			t.Errorf("%s and %s: meets %t, covers %t", c.a, c.b, meets(a, b), covers(a, b))
		}
	}
}

// FuzzDocument: whatever comes, no panic, no problem without words, and what passes is written and read again
// as the same.
func FuzzDocument(f *testing.F) {
	f.Add(example(f), true)
	body, err := Write(Shown(Default()), JSON)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, false)
	for _, s := range []string{"", "{", "null", `{"sites":[{"id":"a","nodes":[null]}]}`, `{"sites":[{"context_path":"x","bypass":["GET /"]}]}`, "a: &a [*a]", "? a", "sites: [{upstream: {accounts: {? : {}}}}]"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, inYAML bool) {
		syntax := JSON
		if inYAML {
			syntax = YAML
		}
		c, problems, _ := judge(string(body), syntax)
		for _, p := range problems {
			if p.Message == "" {
				t.Fatalf("a problem without words at %q", p.Path)
			}
		}
		if len(problems) > 0 {
			return
		}
		for _, syntax := range []Syntax{JSON, YAML} {
			written, err := Write(Shown(c), syntax)
			if err != nil {
				t.Fatal(err)
			}
			again, problems, _ := judge(string(written), syntax)
			if diff := cmp.Diff(Shown(c), Shown(again)); diff != "" || len(problems) > 0 {
				t.Fatalf("%s: %v\n%s\n%s", syntax, problems, diff, written)
			}
		}
	})
}

// TestLongNamesKeepTheirOwnSecrets: what a message cuts from a name still tells two places apart.
func TestLongNamesKeepTheirOwnSecrets(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 70)
	d, problems := Read(fmt.Appendf(nil, `{"sites":[{"upstream":{"accounts":{"%s1":{"value":"one"},"%s2":{"value":"two"},"%s3":7}}}]}`, long, long, long), JSON)
	if len(problems) != 1 || len(problems[0].Path) > 100 || !strings.Contains(problems[0].Path, "…") {
		t.Fatalf("problems %v", problems)
	}
	got := map[string]string{}
	EachSecret(&d.Config, func(p Place, s configlog.Secret) configlog.Secret {
		got[p.Account] = d.Plain[p.Key].Reveal()
		if len(p.Path) > 100 {
			t.Errorf("shown as %s", p.Path)
		}
		return s
	})
	want := map[string]string{long + "1": "one", long + "2": "two", long + "3": "", "": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	endless := strings.Repeat("n", maxLine+1)
	if _, problems := Read(fmt.Appendf(nil, `{"sites":[{"upstream":{"accounts":{"%s":{"value":"one"}}}}]}`, endless), JSON); len(problems) != 1 || len(problems[0].Path) > 100 {
		t.Fatalf("an endless name: %.500s", fmt.Sprint(problems))
	}
}
