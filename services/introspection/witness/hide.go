package witness

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
)

// hidden stands where a secret was.
const hidden = "…"

// hider takes secrets out of texts.
type hider struct {
	replace *strings.Replacer
	longest int // form of a secret
}

func newHider(secrets []string) hider {
	var spelled []string
	for _, s := range secrets {
		text, _ := json.Marshal(s) // a string always marshals
		inJSON := strings.Trim(string(text), `"`)
		for _, form := range []string{
			s, url.QueryEscape(s), lowered(url.QueryEscape(s)), url.PathEscape(s), lowered(url.PathEscape(s)),
			inJSON, strings.ReplaceAll(inJSON, "/", `\/`), html.EscapeString(s),
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
	h := hider{replace: strings.NewReplacer(pairs...)}
	if len(spelled) > 0 {
		h.longest = len(spelled[0])
	}
	return h
}

// lowered gives percent-encoding as some write it, in small letters.
func lowered(escaped string) string {
	return regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(escaped, strings.ToLower)
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

// isSecret tells whether a member, a parameter or a field holds a credential by its name, however it is spelled. What only
// speaks about credentials, as discovery documents do, does not.
func isSecret(name string) bool {
	name = strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
	for _, about := range []string{"type", "hint", "use", "endpoint", "supported", "expiresin", "lifetime", "alg"} {
		if strings.HasSuffix(name, about) {
			return false
		}
	}
	switch name {
	case "code", "devicecode", "usercode", "sessionid", "jsessionid", "tokenlasteight":
		return true
	}
	for _, part := range []string{"token", "secret", "assertion", "passw", "pwd", "verifier", "privatekey", "apikey", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
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

// body gives a body: of JSON what its members say, of others the text. A secret may stand across the end of what is kept.
func (h hider) body(contentType string, body []byte, more bool) string {
	if more {
		body = body[:max(0, len(body)-h.longest)]
	}
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
	return named(h.text(string(body)))
}

// named takes out what stands behind a name of a credential in a text that is not read: JSON that is broken, or called something
// else, and forms.
func named(text string) string {
	return regexp.MustCompile(`(?i)([\w-]*(?:token|secret|assertion|passw|pwd|verifier|code|credential)[\w-]*)("?\s*[:=]\s*)(\[?\s*"(?:[^"\\]|\\.)*"?|[^\s&,;<>"{}\[\]]+)`).
		ReplaceAllString(text, "${1}${2}"+hidden)
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
			if isSecret(name) {
				switch member.(type) {
				case string, []any, map[string]any:
					member = hidden
				}
			}
			out[h.text(name)] = h.value(member)
		}
		return out
	}
	return v
}
