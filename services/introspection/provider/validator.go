package provider

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/presets"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// validator judges the tokens of one provider in one way. What it gives are facts; at is when they were said. A problem is
// no word about the token.
type validator interface {
	judge(ctx context.Context, q *inquiry, token string) (f Facts, at time.Time, p *remote.Problem)
}

// judges gives the validator of a provider.
func (a *Asking) judges(found *kept[metadata], s Options) (validator, *Cannot) {
	preset, known := presets.Of(a.kind)
	way := presets.Validation(a.validation)
	if !known || !preset.Takes(way) {
		return nil, &Cannot{Trouble: troubleKind, Cause: errors.New("kind " + strconv.Quote(a.kind) + ", validation " + strconv.Quote(a.validation))}
	}
	for _, raw := range []string{a.issuer, a.url, a.jwksURI} {
		if raw != "" && !isURL(raw) {
			return nil, &Cannot{Trouble: troubleURL} // an error would repeat the URL, which may hold a password
		}
	}
	audience := ""
	if preset.Audience == "issuer" {
		audience = a.issuer
	}
	shown, err := newCaller(a.callerAuth, a.clientID, a.value, a.keyID, audience)
	if err != nil {
		return nil, &Cannot{Trouble: troubleKey, Cause: err}
	}
	how := reading{Reading: preset.Reading, usernameClaim: a.usernameClaim}
	if a.usernameRegex != "" {
		if how.usernameIs, err = regexp.Compile(a.usernameRegex); err != nil {
			return nil, &Cannot{Trouble: troubleRegex, Cause: err}
		}
	}
	switch way {
	case presets.TokenInfo:
		return &tokenInfo{endpoint: cmp.Or(a.url, preset.Endpoint), reading: how}, nil
	case presets.TokenCheck:
		at := strings.ReplaceAll(cmp.Or(a.url, preset.Endpoint), "{client_id}", url.PathEscape(a.clientID))
		if !isURL(at) {
			return nil, &Cannot{Trouble: troubleURL}
		}
		return &tokenCheck{endpoint: at, caller: shown, reading: how}, nil
	case presets.Introspection, presets.JWT, presets.JWTAndIntrospection:
	}
	return a.byStandard(way, shown, how, found, s)
}

// byStandard is for what discovery, RFC 7662 and JWK sets are enough.
func (a *Asking) byStandard(way presets.Validation, shown *caller, how reading, found *kept[metadata], s Options) (validator, *Cannot) {
	if a.issuer == "" && (way.Signed() || a.url == "") {
		return nil, &Cannot{Trouble: troubleURL}
	}
	asked := &introspecting{caller: shown, reading: how, endpoint: given(a.url, found, "introspection_endpoint", func(m metadata) string { return m.Introspection })}
	if preset, _ := presets.Of(a.kind); way == presets.Introspection && preset.UserInfo && a.issuer != "" {
		return &naming{then: asked, reading: how, endpoint: given("", found, "userinfo_endpoint", func(m metadata) string {
			if !trusted(m.UserInfo, a.issuer) {
				return ""
			}
			return m.UserInfo
		})}, nil
	}
	if way == presets.Introspection {
		return asked, nil
	}
	keys := newKeys(given(a.jwksURI, found, "jwks_uri", func(m metadata) string { return m.JWKSURI }), s)
	signed := &verifying{issuer: a.issuer, keys: keys, reading: how}
	if way == presets.JWT {
		return signed, nil
	}
	return &verifyingFirst{first: signed, then: asked}, nil
}

// given gives an endpoint: the one that is configured, else the one that discovery finds.
func given(configured string, found *kept[metadata], name string, of func(metadata) string) endpointURL {
	if configured != "" {
		return func(context.Context, *inquiry) (string, *remote.Problem) { return configured, nil }
	}
	return func(ctx context.Context, q *inquiry) (string, *remote.Problem) {
		m, _, p := found.get(ctx, q)
		if p == nil && of(m) == "" {
			p = &remote.Problem{Result: remote.Malformed, Text: "its discovery document has no " + name}
		}
		return of(m), p
	}
}

func isURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}
