package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// seal is a secret that must be sealed before the commit that names it.
type seal struct {
	place  document.Place
	plain  document.Plain
	secret configlog.Secret // what it will be called
}

// settle puts into a draft what each secret is called: the value that is kept already stays what it is, a new
// one becomes the next version of its reference, a reference must be the one that is there. A kept value that
// its owner can no longer open is new too: its owner has another key now, or the bucket has lost it. The error is
// that the bucket cannot be read.
func (a *api) settle(ctx context.Context, current *configlog.Config, d *document.Draft) (seals []seal, problems []fault.Problem, err error) {
	document.EachSecret(&d.Config, func(place document.Place, given configlog.Secret) configlog.Secret {
		was := document.SecretAt(current, place)
		plain, byValue := d.Plain[place.Key]
		if !byValue {
			if given.Ref == "" {
				return given // {env}, {file} or nothing
			}
			if !keeps(given, was) {
				problems = append(problems, fault.Problem{Path: place.Path, Message: "no such secret is kept here: give its value, or what GET shows"})
			}
			return was
		}
		if wrong := malformed(place, plain.Reveal()); wrong != "" {
			problems = append(problems, fault.Problem{Path: place.Path + ".value", Message: wrong})
		}
		print, recipient := a.prints.Of(plain.Reveal()), a.sealer.Recipient(place.Owner)
		if was.Ref != "" && was.Fingerprint == print && was.Recipient == recipient {
			held, unread := a.sealer.Holds(ctx, was.Key())
			err = errors.Join(err, unread)
			if held {
				return was
			}
		}
		next := configlog.Secret{Ref: was.Ref, Version: was.Version + 1, Fingerprint: print, Recipient: recipient}
		if was.Ref == "" {
			next = fresh(print, recipient)
		}
		seals = append(seals, seal{place: place, plain: plain, secret: next})
		return next
	})
	if err != nil {
		err = fault.Wrap(fault.Unavailable, "whether the secrets are still kept cannot be read: NATS is away; nothing was changed", err)
	}
	return seals, problems, err
}

// unopened tells of secrets that are kept but sealed to a key their owner does not have, or no longer has. That of a
// directory whose groups are asked for is a problem: without it nobody would be let in.
func (a *api) unopened(c *configlog.Config) (problems, warnings []fault.Problem) {
	document.EachSecret(c, func(place document.Place, s configlog.Secret) configlog.Secret {
		switch s.Recipient {
		case "", a.sealer.Recipient(place.Owner):
		case a.sealer.Recipient(secret.Both):
			warnings = append(warnings, fault.Problem{Path: place.Path, Message: "is still sealed to introspection too, for the directory that is asked in another way now: give its value again to end that"})
		case a.sealer.Recipient(secret.Gateway):
			p := fault.Problem{Path: place.Path, Message: "is sealed to the gateways alone, and the directory is asked with it: give its value again"}
			if c.Site(place.Site).NeedsDirectory() {
				problems = append(problems, p)
			} else {
				warnings = append(warnings, p)
			}
		default:
			warnings = append(warnings, fault.Problem{Path: place.Path, Message: "is sealed to a key that is no more: give its value again"})
		}
		return s
	})
	return problems, warnings
}

// keeps tells whether what a document names is what is kept.
func keeps(given, was configlog.Secret) bool {
	return given.Ref == was.Ref && (given.Version == 0 || given.Version == was.Version) &&
		(given.Fingerprint == "" || given.Fingerprint == was.Fingerprint) && (given.Recipient == "" || given.Recipient == was.Recipient)
}

// fresh gives the first version of a reference nobody has used.
func fresh(print, recipient string) configlog.Secret {
	ref := make([]byte, 10)
	_, _ = rand.Read(ref) // never fails
	return configlog.Secret{Ref: "s" + hex.EncodeToString(ref), Version: 1, Fingerprint: print, Recipient: recipient}
}

// malformed tells what is wrong with a secret's value without repeating any of it.
func malformed(place document.Place, value string) string {
	if !place.IsPrivateKey() {
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return "holds a line break or another control character, which cannot be sent"
		}
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"
		if place.IsToken() && strings.Trim(strings.TrimRight(value, "="), letters) != "" {
			return "must be a personal access token: letters, digits and -._~+/ (RFC 6750 §2.1); a password wants driver basic"
		}
		return ""
	}
	kinds := "RSA"
	if !place.IsRSA() {
		kinds = "RSA, EC or Ed25519"
	}
	if !isPrivateKey(value, place.IsRSA()) {
		return "must be an " + kinds + " private key in PEM"
	}
	return ""
}

// isPrivateKey reads PKCS #1, #8 and SEC 1 in PEM.
func isPrivateKey(value string, onlyRSA bool) bool {
	block, _ := pem.Decode([]byte(value))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if _, isRSA := key.(*rsa.PrivateKey); err == nil && isRSA {
		return true
	}
	if onlyRSA {
		return false
	}
	if ec, ecErr := x509.ParseECPrivateKey(block.Bytes); ecErr == nil {
		key = ec
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k.Curve != elliptic.P224()
	case ed25519.PrivateKey:
		return true
	default:
		return false
	}
}

// versionTries is how many later versions of a reference are tried before it is given up for a fresh one.
const versionTries = 8

// sealAll seals what a change names, and puts into the configuration what it was called in the end: a version
// another instance has taken, or that a rollback has left behind, is never overwritten.
func (a *api) sealAll(ctx context.Context, to *configlog.Config, seals []seal) error {
	called := make(map[string]configlog.Secret, len(seals))
	for _, s := range seals {
		name, err := a.sealOne(ctx, s)
		if err != nil {
			return err
		}
		called[s.place.Key] = name
	}
	document.EachSecret(to, func(p document.Place, s configlog.Secret) configlog.Secret {
		if name, ok := called[p.Key]; ok {
			return name
		}
		return s
	})
	return nil
}

func (a *api) sealOne(ctx context.Context, s seal) (configlog.Secret, error) {
	name := s.secret
	for try := 0; ; try++ {
		err := a.sealer.Seal(ctx, s.place.Owner, name.Key(), s.plain.Reveal())
		switch {
		case err == nil:
			return name, nil
		case !errors.Is(err, jetstream.ErrKeyExists):
			return name, fault.Wrap(fault.Unavailable, "secrets cannot be sealed: NATS is away; nothing was changed", fmt.Errorf("at %s: %w", s.place.Path, err))
		case try < versionTries:
			name.Version++
		default:
			name = fresh(name.Fingerprint, name.Recipient)
		}
	}
}
