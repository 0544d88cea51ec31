package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

// Facts are what a provider said of a token, normalised. They are shared by all who ask: nobody changes them.
type Facts struct {
	Active                        bool
	Person                        bool   // issued to one, and not to a client for itself
	Detail                        string // why it is not active
	ClientID, Username, Subject   string
	MappedUser, Issuer, TokenType string
	Scopes, Audience              []string
	ExpiresAt, NotBefore          time.Time // zero: not said
	IssuedAt                      time.Time
}

// Bounds of what is kept of one reply, so that a cache of many has a bound too.
const (
	MaxWord  = 1 << 10 // bytes of one name
	maxWords = 16 << 10
)

// members are those of a reply that mean something here; see parseReply.
type members map[string]json.RawMessage

// reading is how a provider's replies and claims are read.
type reading struct {
	presets.Reading
	usernameClaim string         // whose value is the mapped user; empty: none
	usernameIs    *regexp.Regexp // what of it: its first group, or what it matches; nil: all
}

// parseReply reads an RFC 7662 §2.2 reply that came at a time. It takes what real providers send and is strict where laxness
// could let somebody in:
//
//   - active must be there and true or false; "true" in quotes is malformed, whatever was meant;
//   - of an inactive token nothing else is read;
//   - a member that counts and is given twice is malformed: two readers would take two different ones;
//   - names compare exactly, so "Active" is not active;
//   - times may be numbers or numbers in quotes, with a fraction (dropped) or an exponent. They are clamped
//     to the years 1970 to 9999, so a negative or zero exp is long past and not "never"; the same goes for expires_in, which
//     counts where there is no exp;
//   - scope may be a string or a list, aud a string or a list;
//   - token_type may be called typ. A token_use, typ or tokenName that is no access token's wins over it, so a refresh token
//     never passes for an access token;
//   - a token that is bound to a key (cnf: RFC 8705, RFC 9449) is not active: as a Bearer it proves nothing;
//   - names hold no control characters and no U+FFFD, which is what broken text turns into: two different
//     users could become one.
//
// Which members name client, scopes and user is said by how. The error never holds a byte of the reply.
func parseReply(body []byte, how reading, at time.Time) (Facts, error) {
	m, err := readMembers(body, how)
	if err != nil {
		return Facts{}, err
	}
	switch string(m["active"]) {
	case "true":
	case "false":
		return no("inactive"), nil
	case "":
		return Facts{}, errors.New("lacks active")
	default:
		return Facts{}, errors.New("has an active that is neither true nor false")
	}
	return m.facts(how, how.Person.By, at)
}

// parseClaims reads the claims of a token that was verified. What names no client (RFC 9068 §2.2 requires it), or has what
// only ID tokens have (OpenID Connect Core §2, §3.3.2.11), is no access token; some old Keycloaks put a nonce into those too,
// but call them Bearer.
func parseClaims(payload []byte, how reading) (Facts, error) {
	m, err := readMembers(payload, how)
	if err != nil {
		return Facts{}, err
	}
	f, err := m.facts(how, slices.Concat(how.Person.By, how.Person.Signed), time.Time{})
	idToken := m["at_hash"] != nil || m["c_hash"] != nil || m["nonce"] != nil && !strings.EqualFold(f.TokenType, "bearer")
	if err == nil && f.Active && (idToken || f.ClientID == "") {
		return no("it is an ID token, or names no client"), nil
	}
	return f, err
}

// parseInfo reads claims that a provider gave at a time; who gives them says that the token is active.
func parseInfo(body []byte, how reading, at time.Time) (Facts, error) {
	m, err := readMembers(body, how)
	if err != nil {
		return Facts{}, err
	}
	f, err := m.facts(how, how.Person.By, at)
	if err == nil && f.Active && (f.ClientID == "" || f.ExpiresAt.IsZero()) {
		err = errors.New("names no client or no end")
	}
	return f, err
}

// parseRefusal reads an error reply (RFC 6749 §5.2): invalid_token is a word about the token, everything else is not.
func parseRefusal(body []byte) (Facts, error) {
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error != "invalid_token" {
		return Facts{}, errors.New("is an error that is not about the token")
	}
	return no("inactive"), nil
}

func (m members) facts(how reading, signs []presets.Sign, at time.Time) (Facts, error) {
	r := reader{members: m}
	if r.value("cnf") != nil {
		return no("it is bound to a key, which a Bearer does not prove"), nil
	}
	f := Facts{
		Active:     true,
		ClientID:   r.word(how.Client...),
		Username:   r.word(r.trusted(how.Names)...),
		Subject:    r.word("sub"),
		Issuer:     r.word("iss"),
		TokenType:  r.tokenType(),
		Scopes:     r.scopes(how.Scopes),
		Audience:   r.words(false, "aud"),
		ExpiresAt:  r.time("exp"),
		NotBefore:  r.time("nbf"),
		IssuedAt:   r.time("iat"),
		MappedUser: r.mappedUser(how),
	}
	if f.ExpiresAt.IsZero() && !at.IsZero() {
		f.ExpiresAt = r.after("expires_in", at)
	}
	f.Person = r.person(how.Person, signs, f.ClientID)
	if r.err == nil && r.size > maxWords {
		r.err = fmt.Errorf("names more than %d KiB of scopes and audiences", maxWords>>10)
	}
	if r.err != nil {
		return Facts{}, r.err
	}
	return f, nil
}

// readMembers reads the members that count of the one object body must be.
func readMembers(body []byte, how reading) (members, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		return nil, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("is no JSON object")
	}
	m := members{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("is broken JSON")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("is broken JSON")
		}
		n, _ := name.(string)
		if !how.counts(n) {
			continue
		}
		if _, twice := m[n]; twice {
			return nil, errors.New("gives a member twice")
		}
		m[n] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("is broken JSON")
	}
	if len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return nil, errors.New("goes on behind its end")
	}
	return m, nil
}

func (how *reading) counts(name string) bool {
	switch name {
	case "active", "sub", "iss", "token_type", "typ", "token_use", "aud", "exp", "expires_in", "nbf", "iat", "cnf",
		"tokenName", "nonce", "at_hash", "c_hash", "email_verified":
		return true
	case "":
		return false
	case how.usernameClaim:
		return true
	}
	for _, list := range [...][]string{how.Client, how.Scopes, how.Names} {
		if slices.Contains(list, name) {
			return true
		}
	}
	for _, list := range [...][]presets.Sign{how.Person.By, how.Person.Signed} {
		if slices.ContainsFunc(list, func(s presets.Sign) bool { return s.Member == name || slices.Contains(s.Client, "{"+name+"}") }) {
			return true
		}
	}
	return false
}

// reader reads members by their types and keeps the first error.
type reader struct {
	members members
	size    int // bytes of words so far
	err     error
}

func (r *reader) wrong(name, what string) {
	if r.err == nil {
		r.err = errors.New("has " + what + " for " + name)
	}
}

// value gives a member; nil when it is not there, or null.
func (r *reader) value(name string) json.RawMessage {
	if v := r.members[name]; string(v) != "null" {
		return v
	}
	return nil
}

// word gives the first of some members that holds a name: a string, or an integer as some providers number
// their users and clients.
func (r *reader) word(names ...string) string {
	for _, name := range names {
		v := r.value(name)
		if v == nil {
			continue
		}
		s, ok := asWord(v)
		if !ok {
			r.wrong(name, "no name")
		}
		if s != "" {
			return r.clean(name, s)
		}
	}
	return ""
}

// trusted gives the members that may name the user: an address that the provider has not verified is whatever somebody wrote.
func (r *reader) trusted(members []string) []string {
	switch verified := r.value("email_verified"); {
	case verified == nil, string(verified) == "true", string(verified) == `"true"`:
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(name string) bool { return name == "email" })
}

// mappedUser gives the value of the claim the configuration names, or the part of it that is the user. What is no name, or
// does not match, maps to nobody.
func (r *reader) mappedUser(how reading) string {
	s, _ := asWord(r.value(how.usernameClaim))
	if s = r.clean("the username claim", s); how.usernameIs == nil {
		return s
	}
	m := how.usernameIs.FindStringSubmatch(s)
	if len(m) == 0 {
		return ""
	}
	return m[min(1, len(m)-1)]
}

func asWord(v json.RawMessage) (string, bool) {
	var s string
	switch {
	case json.Unmarshal(v, &s) == nil:
		return s, true
	case isInteger(v):
		return string(v), true
	default:
		return "", false
	}
}

func (r *reader) clean(name, s string) string {
	bad := func(c rune) bool { return c == utf8.RuneError || unicode.IsControl(c) }
	if len(s) > MaxWord || strings.ContainsFunc(s, bad) {
		r.wrong(name, "an overlong or broken name")
		return ""
	}
	return s
}

// words gives a list, which may be one string; split cuts at spaces (RFC 6749 §3.3).
func (r *reader) words(split bool, name string) []string {
	v := r.value(name)
	if v == nil {
		return nil
	}
	var list []string
	if json.Unmarshal(v, &list) != nil {
		var one string
		if json.Unmarshal(v, &one) != nil {
			r.wrong(name, "neither text nor a list of texts")
			return nil
		}
		list = []string{one}
	}
	var out []string
	for _, item := range list {
		parts := []string{item}
		if split {
			parts = strings.Split(item, " ")
		}
		for _, p := range parts {
			if r.size += len(p); r.size > maxWords {
				return nil // parseReply says so
			}
			if p != "" && !slices.Contains(out, p) {
				out = append(out, r.clean(name, p))
			}
		}
	}
	return out
}

// scopes gives what a token is good for; every list that is there counts.
func (r *reader) scopes(names []string) (all []string) {
	for _, name := range names {
		for _, scope := range r.words(true, name) {
			if !slices.Contains(all, scope) {
				all = append(all, scope)
			}
		}
	}
	return all
}

// person tells whether a token was issued to one: the first sign that is there says so.
func (r *reader) person(how presets.Person, signs []presets.Sign, client string) bool {
	if how.Always {
		return true
	}
	for _, sign := range signs {
		v := r.value(sign.Member)
		if v == nil || string(v) == `""` || string(v) == "[]" {
			continue
		}
		word, _ := asWord(v)
		return !slices.ContainsFunc(sign.Client, func(form string) bool { return word != "" && names.Same(word, r.filled(form, client)) })
	}
	return how.Proof
}

// filled fills in the one {…} of a form.
func (r *reader) filled(form, client string) string {
	before, rest, _ := strings.Cut(form, "{")
	name, after, found := strings.Cut(rest, "}")
	if !found {
		return form
	}
	value := client
	if name != "client" {
		value, _ = asWord(r.value(name))
	}
	if value == "" {
		return ""
	}
	return before + value + after
}

// tokenType gives what kind of token it is. Whatever says that it is no access token wins: providers answer about refresh,
// ID and logout tokens too, and some call every one Bearer beside.
func (r *reader) tokenType() string {
	kind := ""
	for _, name := range [...]string{"token_use", "typ", "tokenName", "token_type"} {
		switch word := r.word(name); {
		case !presets.IsAccessToken(word):
			return word
		case name == "token_type" && word != "", name == "typ":
			kind = word
		}
	}
	return kind
}

// latest is the last second of the year 9999, beyond which no protobuf timestamp goes.
const latest = 253402300799

func (r *reader) time(name string) time.Time {
	seconds, ok := r.seconds(name)
	if !ok {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// after gives the time that is a member's seconds after another.
func (r *reader) after(name string, since time.Time) time.Time {
	seconds, ok := r.seconds(name)
	switch {
	case !ok:
		return time.Time{}
	case seconds == 0:
		return time.Unix(0, 0).UTC() // no leeway makes that now
	}
	return time.Unix(min(since.Unix()+seconds, latest), 0).UTC()
}

// seconds gives a member that is a number of seconds; false when it is not there, or none.
func (r *reader) seconds(name string) (int64, bool) {
	v := r.value(name)
	if v == nil {
		return 0, false
	}
	text := string(v)
	var quoted string
	if json.Unmarshal(v, &quoted) == nil {
		text = quoted
	}
	seconds, ok := parseSeconds(text)
	if !ok {
		r.wrong(name, "no time")
	}
	return seconds, ok
}

// parseSeconds reads a JSON number of seconds; what has no such number is clamped.
func parseSeconds(text string) (int64, bool) {
	if !json.Valid([]byte(text)) || text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return 0, false // ParseFloat takes Inf, NaN, hex and _
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return int64(math.Floor(min(max(f, 0), latest))), true
}

func isInteger(v []byte) bool {
	digits := bytes.TrimPrefix(v, []byte("-"))
	return len(digits) > 0 && len(digits) <= 20 && !slices.ContainsFunc(digits, func(c byte) bool { return c < '0' || c > '9' })
}
