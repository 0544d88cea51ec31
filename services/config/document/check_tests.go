package document

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// maxTests is how many tests a site may have: each change waits for them.
const maxTests = 20

// IsVerdict tells whether a text can be what becomes of a call; VerdictWanted says what that is.
func IsVerdict(text string) bool { return verdict.MatchString(text) }

// VerdictWanted is what is said of a text that is none.
const VerdictWanted = "must be allow, deny, pass, or a reason such as read_only"

var verdict = regexp.MustCompile(`^[a-z][a-z0-9_]{1,63}$`)

// Types are what a credential that is tried may be.
func Types() []string { return []string{"oauth", "api_token", "pat", "basic", "none"} }

// tests checks the calls that are tried before a change is made.
func (k *checker) tests(path string, s *configlog.Site) {
	if len(s.Tests) > maxTests {
		k.problem(path, "must be %d at most: every change of the site waits for them", maxTests)
	}
	seen := map[string]bool{}
	for i := range s.Tests {
		t, where := &s.Tests[i], at(path, i)
		switch {
		case t.Name == "" || len(t.Name) > 100 || hasControl(t.Name):
			k.problem(where+".name", "must be a name of 1 to 100 bytes")
		case seen[t.Name]:
			k.problem(where+".name", "is another test's already")
		}
		seen[t.Name] = true
		k.tried(where, t, s)
		k.keepsNoSecret(where+".path", t.Path)
		if !IsVerdict(t.Expect) {
			k.problem(where+".expect", VerdictWanted)
		}
	}
}

// keepsNoSecret: everybody who may read the configuration reads a test's path, in the log too, for as long as there is one.
func (k *checker) keepsNoSecret(path, target string) {
	_, query, _ := strings.Cut(target, "?")
	values, _ := url.ParseQuery(query) // gives what it can read
	for _, name := range [...]string{"os_password", "oauth_token", "oauth_signature", "access_token", "jwt"} {
		for given, held := range values {
			if strings.EqualFold(given, name) && strings.Join(held, "") != "" {
				k.problem(path, "must not hold a credential (%s): it would be kept in clear; give it as credential", name)
			}
		}
	}
}

// Tried checks a call that is tried at a site, as a test would have it.
func Tried(t *configlog.Test, s *configlog.Site) []fault.Problem {
	var k checker
	k.tried("", t, s)
	return k.problems
}

func (k *checker) tried(path string, t *configlog.Test, s *configlog.Site) {
	field := func(name string) string { return under(path, name) }
	if k.oneOf(field("type"), t.Type, Types()...) {
		k.shownBy(field, t, s)
	}
	if t.Method != "" && !isToken(t.Method) {
		k.problem(field("method"), "must be a method such as GET")
	}
	if u, err := url.ParseRequestURI(t.Path); t.Path != "" && (err != nil || u.Host != "" || !strings.HasPrefix(t.Path, "/") || len(t.Path) > maxLine || hasControl(t.Path)) {
		k.problem(field("path"), "must be a path below the site's context path, such as /rest/api/2/myself")
	}
	if _, err := netip.ParseAddr(t.ClientIP); t.ClientIP != "" && err != nil {
		k.problem(field("client_ip"), "must be an address")
	}
}

// shownBy checks where the credential comes from.
func (k *checker) shownBy(field func(string) string, t *configlog.Test, s *configlog.Site) {
	k.secret(field("credential"), t.Credential)
	if t.Username != "" && t.Type != "basic" {
		k.problem(field("username"), "is only for type basic")
	} else if t.Username == "" && t.Type == "basic" {
		k.problem(field("username"), "is required for type basic")
	}
	switch {
	case t.Fetch && t.Type != "oauth":
		k.problem(field("fetch"), "is only for type oauth")
	case t.Fetch && s.Provider(t.Provider) == nil:
		k.problem(field("provider"), "must be one of the site's providers")
	case t.Fetch && t.ClientID != "" && t.Credential.IsZero():
		k.problem(field("credential"), "is required: the secret of client_id")
	case t.Fetch:
	case t.Type == "none" && !t.Credential.IsZero():
		k.problem(field("credential"), "is not for type none")
	case t.Type != "none" && t.Credential.IsZero():
		k.problem(field("credential"), "is required, or fetch")
	}
	if !t.Fetch && (t.Provider != "" || t.ClientID != "") {
		k.problem(field("fetch"), "must be true where provider or client_id is given")
	}
}
