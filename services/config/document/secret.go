package document

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

// secret reads where a secret is named. Nothing of what is written there is repeated, not even a field's name:
// whoever forgets a colon has written the secret as one.
func (r *reader) secret(path string, v value, out reflect.Value) {
	const shape = "must be an object with value, ref, env or file"
	if v.kind != object {
		r.problem(path, shape+", not %s", v.kind)
		return
	}
	var s configlog.Secret
	fields := map[string]*string{"value": new(string), "ref": &s.Ref, "fingerprint": &s.Fingerprint, "recipient": &s.Recipient, "env": &s.Env, "file": &s.File}
	seen := map[string]bool{}
	sound := true
	for _, m := range v.members {
		field, known := fields[m.name]
		switch {
		case !known && m.name != "version":
			r.problem(path, shape+"; another field is there")
			sound = false
		case seen[m.name]:
			r.problem(under(path, m.name), "is there twice")
			sound = false
		case m.value.kind == null:
		case m.name == "version":
			sound = r.version(under(path, m.name), m.value, &s.Version) && sound
		case r.want(under(path, m.name), m.value, text):
			*field = m.value.text
			sound = r.secretText(under(path, m.name), m.name, m.value.text) && sound
		default:
			sound = false
		}
		seen[m.name] = seen[m.name] || m.value.kind != null
	}
	if !sound {
		r.plain[path] = newPlain("") // refused already; what is there is wrong, not missing
		return
	}
	named := 0
	for _, name := range []string{"value", "ref", "env", "file"} {
		if seen[name] {
			named++
		}
	}
	switch {
	case named > 1:
		r.problem(path, "must name one of value, ref, env and file")
	case !seen["ref"] && (seen["version"] || seen["fingerprint"] || seen["recipient"]):
		r.problem(path, "version, fingerprint and recipient belong to a ref")
	case seen["value"]:
		r.plain[path] = newPlain(*fields["value"])
	default:
		out.Set(reflect.ValueOf(s))
	}
}

func (r *reader) version(path string, v value, out *uint32) bool {
	if !r.want(path, v, number) {
		return false
	}
	n, err := strconv.ParseUint(v.text, 10, 32)
	if err != nil {
		r.problem(path, "must be a whole number")
		return false
	}
	*out = uint32(n)
	return true
}

func (r *reader) secretText(path, name, given string) bool {
	switch {
	case given == "":
		r.problem(path, "must not be empty")
	case name == "value" && len(given) > secret.MaxBytes:
		r.problem(path, "is longer than %d bytes", secret.MaxBytes)
	case name != "value" && (len(given) > maxLine || hasControl(given)):
		r.problem(path, "is too long, or holds a control character")
	default:
		return true
	}
	return false
}

// Place is where a secret is named.
type Place struct {
	// Path in the document as messages show it, e.g. sites[0].providers[0].client_secret. Long names are cut in
	// it, so that two places may have the same.
	Path string
	// Key is the whole path, which only this place of the document has.
	Key string
	// Owner is who opens it.
	Owner secret.Owner
	// Site, and the id of the Provider or the name of the Account or the Test in it.
	Site, Provider, Account, Test string
	kind                          placeKind
	driver                        string // of the site
	crowd                         bool   // is the site's directory
}

type placeKind uint8

const (
	clientSecret placeKind = iota + 1
	accountCredential
	privateKey
	directoryCredential
	providerKey
	testCredential
)

// IsPrivateKey tells whether a key belongs there, and not a line of text.
func (p Place) IsPrivateKey() bool { return p.kind == privateKey || p.kind == providerKey }

// IsRSA tells whether only an RSA key is of use there.
func (p Place) IsRSA() bool { return p.kind == privateKey }

// IsToken tells whether a personal access token belongs there.
func (p Place) IsToken() bool {
	switch p.kind {
	case accountCredential:
		return p.driver == "pat"
	case directoryCredential:
		return !p.crowd && p.driver != "basic"
	default:
		return false
	}
}

// IsDirectory tells whether the directory is asked with what belongs there.
func (p Place) IsDirectory() bool { return p.Owner == secret.Both || p.kind == directoryCredential }

// EachSecret visits every place of a configuration where a secret may be named, in an order that stays, and puts there
// what visit gives back. The directory's own comes before the accounts: where it is, theirs is not the directory's.
func EachSecret(c *configlog.Config, visit func(Place, configlog.Secret) configlog.Secret) {
	see := func(p Place, s configlog.Secret) configlog.Secret {
		p.Path = shown(p.Key)
		return visit(p, s)
	}
	for i := range c.Sites {
		s := &c.Sites[i]
		path := at("sites", i)
		for j := range s.Providers {
			p := &s.Providers[j]
			p.ClientSecret = see(Place{
				Key: under(at(path+".providers", j), "client_secret"), Owner: secret.Introspection, Site: s.ID, Provider: p.ID, kind: clientSecret,
			}, p.ClientSecret)
			p.PrivateKey = see(Place{
				Key: under(at(path+".providers", j), "private_key"), Owner: secret.Introspection, Site: s.ID, Provider: p.ID, kind: providerKey,
			}, p.PrivateKey)
		}
		s.Directory.Credential = see(Place{
			Key: path + ".directory.credential", Owner: secret.Introspection, Site: s.ID, kind: directoryCredential,
			driver: s.Upstream.Driver, crowd: s.Directory.Source == "crowd",
		}, s.Directory.Credential)
		for _, account := range slices.Sorted(maps.Keys(s.Upstream.Accounts)) {
			owner := secret.Gateway
			if account == s.Directory.Account && s.Directory.Credential.IsZero() {
				owner = secret.Both
			}
			s.Upstream.Accounts[account] = see(Place{
				Key: under(path+".upstream.accounts", account), Owner: owner, Site: s.ID, Account: account, kind: accountCredential, driver: s.Upstream.Driver,
			}, s.Upstream.Accounts[account])
		}
		s.Upstream.PrivateKey = see(Place{
			Key: path + ".upstream.private_key", Owner: secret.Gateway, Site: s.ID, kind: privateKey,
		}, s.Upstream.PrivateKey)
		for j := range s.Tests {
			s.Tests[j].Credential = see(Place{
				Key: under(at(path+".tests", j), "credential"), Owner: secret.Gateway, Site: s.ID, Test: s.Tests[j].Name, kind: testCredential,
			}, s.Tests[j].Credential)
		}
	}
}

// SecretAt gives what a configuration names at the place of another document's; zero when nothing is there.
func SecretAt(c *configlog.Config, p Place) configlog.Secret {
	s := c.Site(p.Site)
	if s == nil {
		return configlog.Secret{}
	}
	switch p.kind {
	case clientSecret:
		if found := s.Provider(p.Provider); found != nil {
			return found.ClientSecret
		}
	case providerKey:
		if found := s.Provider(p.Provider); found != nil {
			return found.PrivateKey
		}
	case accountCredential:
		return s.Upstream.Accounts[p.Account]
	case privateKey:
		return s.Upstream.PrivateKey
	case testCredential:
		if found := s.Test(p.Test); found != nil {
			return found.Credential
		}
	case directoryCredential:
		return s.Directory.Credential
	}
	return configlog.Secret{}
}

// isUnder tells whether a path is another's or below it.
func isUnder(path, ancestor string) bool {
	if ancestor == "" || path == ancestor {
		return path == ancestor
	}
	rest, ok := strings.CutPrefix(path, ancestor)
	return ok && (rest[0] == '.' || rest[0] == '[')
}
