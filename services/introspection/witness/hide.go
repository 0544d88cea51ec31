package witness

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
)

// hidden stands where a secret was.
const hidden = "…"

// hider takes secrets out of texts.
type hider struct{ replace *strings.Replacer }

func newHider(secrets []string) hider {
	var spelled []string
	for _, s := range secrets {
		text, _ := json.Marshal(s) // a string always marshals
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(text), `"`),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
		} {
			if form != "" && !slices.Contains(spelled, form) {
				spelled = append(spelled, form)
			}
		}
	}
	slices.SortFunc(spelled, func(a, b string) int { return len(b) - len(a) }) // a secret may be a part of another
	pairs := make([]string, 0, 2*len(spelled))
	for _, form := range spelled {
		pairs = append(pairs, form, hidden)
	}
	return hider{replace: strings.NewReplacer(pairs...)}
}

// text takes the secrets out of any text, and what does not print.
func (h hider) text(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) || c == '\n' {
			return c
		}
		return ' '
	}, strings.ToValidUTF8(h.replace.Replace(s), " "))
}

// isSecret tells whether a member, a parameter or a field holds a credential by its name.
func isSecret(name string) bool {
	switch strings.ToLower(name) {
	case "token", "access_token", "refresh_token", "id_token", "subject_token", "registration_access_token",
		"client_secret", "client_assertion", "assertion", "secret", "private_key", "password", "passwd",
		"code", "code_verifier", "device_code", "hashed_token", "token_last_eight", "jsessionid":
		return true
	}
	return false
}

// url gives a URL without the user and the parameters that are secret.
func (h hider) url(u *url.URL) string {
	shown := *u
	shown.User = nil
	if shown.RawQuery != "" {
		shown.RawQuery = h.form(shown.Query()).Encode()
	}
	return strings.ReplaceAll(h.text(shown.String()), url.QueryEscape(hidden), hidden)
}

func (h hider) form(values url.Values) url.Values {
	out := url.Values{}
	for name, all := range values {
		for _, v := range all {
			if isSecret(name) {
				v = hidden
			}
			out.Add(h.text(name), h.text(v))
		}
	}
	return out
}

// sent gives what a request shows of whom it is from and what it asks.
func (h hider) sent(r *http.Request, body []byte) []*identityv1.Field {
	var all []*identityv1.Field
	if a := r.Header.Get("Authorization"); a != "" {
		all = append(all, &identityv1.Field{Name: "Authorization", Value: h.authorization(a)})
	}
	if r.Header.Get("Cookie") != "" {
		all = append(all, &identityv1.Field{Name: "Cookie", Value: hidden})
	}
	kind := r.Header.Get("Content-Type")
	switch media, _, _ := mime.ParseMediaType(kind); {
	case len(body) == 0:
	case media == "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return all
		}
		shown := h.form(values)
		names := make([]string, 0, len(shown))
		for name := range shown {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			for _, v := range shown[name] {
				all = append(all, &identityv1.Field{Name: name, Value: v})
			}
		}
	default:
		all = append(all, &identityv1.Field{Name: "body", Value: h.body(kind, body, false)})
	}
	return all
}

// authorization gives the scheme of a credential, and of Basic the user it names.
func (h hider) authorization(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if strings.EqualFold(scheme, "Basic") {
		if plain, err := base64.StdEncoding.DecodeString(rest); err == nil {
			user, _, _ := strings.Cut(string(plain), ":")
			return h.text(scheme + " " + user + ":" + hidden)
		}
	}
	return h.text(scheme) + " " + hidden
}

// body gives a body: of JSON what its members say, of others the text.
func (h hider) body(contentType string, body []byte, more bool) string {
	media, _, _ := mime.ParseMediaType(contentType)
	if !more && (media == "application/json" || strings.HasSuffix(media, "+json")) {
		var v any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if d.Decode(&v) == nil && !d.More() {
			if text, err := marshal(h.value(v)); err == nil {
				return text
			}
		}
	}
	return h.text(string(body))
}

// marshal gives JSON as it would be written by hand.
func marshal(v any) (string, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(out.String(), "\n"), err
}

// value takes the secrets out of a JSON value.
func (h hider) value(v any) any {
	switch v := v.(type) {
	case string:
		return h.text(v)
	case []any:
		for i := range v {
			v[i] = h.value(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			if _, isText := member.(string); isText && isSecret(name) {
				member = hidden
			}
			out[h.text(name)] = h.value(member)
		}
		return out
	}
	return v
}
