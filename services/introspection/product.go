package introspection

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/names"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// product is what differs between the products when they are asked who a caller is, and in which groups.
type product struct {
	// path is below the site's context path.
	path string
	// user reads the name out of a 200; "" is anonymous. body is JSON by its Content-Type, or nil.
	user func(h http.Header, body []byte) (string, error)
	// groups looks up the groups of a user where the product is its own directory.
	groups lookup
}

func productOf(name string) (product, bool) {
	switch name {
	case "jira":
		return jira(), true
	case "confluence":
		return confluence(), true
	case "bitbucket":
		return bitbucket(), true
	default:
		return product{}, false
	}
}

// Headers every product has.
const (
	headerUser         = "X-AUSERNAME" // who the call was served as, percent-encoded; "anonymous" for nobody
	headerLoginReason  = "X-Seraph-LoginReason"
	headerDeniedReason = "X-Authentication-Denied-Reason"
)

// userHeader gives the user a reply says it was served as.
func userHeader(h http.Header) string {
	raw := h.Get(headerUser)
	if name, err := url.PathUnescape(raw); err == nil {
		return name
	}
	return raw
}

// isAnonymous: a bad Bearer is not refused by the products but served as nobody.
func isAnonymous(name string) bool { return name == "" || strings.EqualFold(name, "anonymous") }

// bean reads the JSON object a product answers with.
func bean[T any](body []byte) (T, error) {
	var out T
	if body == nil {
		return out, errors.New("the reply is no JSON by its Content-Type")
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &out) != nil {
		return out, errors.New("the reply is broken JSON")
	}
	return out, nil
}

// checkName refuses names no header can carry, or that broken text may have turned into.
func checkName(name string) error {
	bad := func(c rune) bool { return c == utf8.RuneError || unicode.IsControl(c) }
	if len(name) > provider.MaxWord || strings.ContainsFunc(name, bad) {
		return errors.New("the reply has an overlong or broken user name")
	}
	return nil
}

// agrees tells whether a name in the body is the one in the header. How names beyond ASCII are written there
// is not known, so those are not compared.
func agrees(h http.Header, name string) bool {
	shown := userHeader(h)
	if shown == "" || !isASCII(shown) || !isASCII(name) {
		return true
	}
	return names.Same(shown, name)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c > unicode.MaxASCII })
}
