package provider

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/presets"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// metadata is what counts of a provider's discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
type metadata struct {
	Issuer        string `json:"issuer"`
	JWKSURI       string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	// NamesIssuer: who comes back from signing in brings the parameter iss (RFC 9207 §3).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// newMetadata gives the metadata of an issuer, kept for a day at least where the issuer does not answer any more: its keys
// have a time of their own.
func newMetadata(issuer string, s Options) *kept[metadata] {
	return &kept[metadata]{
		fresh: s.MetadataRefresh, good: 24 * time.Hour, pause: s.KeysPause,
		fetch: func(ctx context.Context, q *inquiry) (metadata, *remote.Problem) { return discover(ctx, q, issuer) },
	}
}

// discover reads the document of OpenID Connect, or where there is none that of RFC 8414.
func discover(ctx context.Context, q *inquiry, issuer string) (m metadata, p *remote.Problem) {
	for _, at := range wellKnown(issuer) {
		missing := false
		p = q.send(ctx, call{
			what: "discover", public: true, make: get(at),
			mean: func(status int) *remote.Problem {
				missing = status == http.StatusNotFound
				return publicStatus(status)
			},
			read: func(r response) (remote.Result, *remote.Problem) {
				m = metadata{}
				if json.Unmarshal(r.body, &m) != nil {
					return "", &remote.Problem{Result: remote.Malformed, Text: "its discovery document is broken JSON"}
				}
				return remote.Answered, m.wrong(issuer)
			},
		})
		if !missing {
			break
		}
	}
	return m, p
}

// wellKnown gives where an issuer's documents are: OpenID Connect puts its path behind the issuer's, RFC 8414 §3 before it.
func wellKnown(issuer string) []string {
	base := strings.TrimSuffix(issuer, "/")
	u, err := url.Parse(base)
	if err != nil {
		return nil
	}
	path := u.Path
	u.Path, u.RawPath = "", ""
	return []string{base + "/.well-known/openid-configuration", u.String() + "/.well-known/oauth-authorization-server" + path}
}

// wrong tells what is wrong with a document: it must be the issuer's own (RFC 8414 §3.3), and not lead to plain http.
func (m *metadata) wrong(issuer string) *remote.Problem {
	wrong := func(text string) *remote.Problem {
		return &remote.Problem{Result: remote.Malformed, Text: "its discovery document " + text}
	}
	if !presets.SameIssuer(m.Issuer, issuer) {
		return wrong("is of another issuer")
	}
	for _, raw := range []string{m.JWKSURI, m.Introspection} {
		if !trusted(raw, issuer) {
			return wrong("names an endpoint that is no https URL")
		}
	}
	return nil
}

// trusted tells whether an endpoint that an issuer names may be used, where it names one.
func trusted(raw, issuer string) bool {
	u, err := url.Parse(raw)
	return raw == "" || err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && strings.HasPrefix(issuer, "http://"))
}

// get makes requests for something public.
func get(at string) request {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	}
}

// publicStatus tells what is wrong with the status of something that is open to everybody.
func publicStatus(status int) *remote.Problem {
	p := statusProblem(status)
	if p != nil && p.Result == remote.CredentialsRefused {
		p = &remote.Problem{Result: remote.UnexpectedStatus, Text: "it does not publish its metadata or keys to us"}
	}
	return p
}
