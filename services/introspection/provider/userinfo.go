package provider

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// naming asks a provider's userinfo whose a token is, where what judges tokens there names nobody (OpenID Connect Core §5.3).
type naming struct {
	then     validator
	endpoint endpointURL
	reading  reading
}

func (v *naming) judge(ctx context.Context, q *inquiry, token string) (Facts, time.Time, *remote.Problem) {
	f, at, p := v.then.judge(ctx, q, token)
	if p != nil || !f.Active || !f.Person || f.Username != "" && (v.reading.usernameClaim == "" || f.MappedUser != "") {
		return f, at, p
	}
	where, p := v.endpoint(ctx, q)
	if p != nil {
		return Facts{}, at, p
	}
	p = q.send(ctx, call{
		what: "userinfo",
		make: func(ctx context.Context) (*http.Request, error) {
			r, err := get(where)(ctx)
			if err == nil {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return r, err
		},
		mean: func(status int) *remote.Problem {
			if status == http.StatusUnauthorized || status == http.StatusForbidden {
				return nil // of this token, not of us: it has no scope for it
			}
			return statusProblem(status)
		},
		read: func(r response) (remote.Result, *remote.Problem) {
			if r.status != http.StatusOK {
				return remote.Answered, nil
			}
			m, err := readMembers(r.body, v.reading)
			var said Facts
			if err == nil {
				said, err = m.facts(v.reading, nil, r.at)
			}
			switch {
			case err != nil:
				return "", &remote.Problem{Result: remote.Malformed, Text: "its userinfo " + err.Error()}
			case f.Subject != "" && said.Subject != "" && f.Subject != said.Subject:
				return "", &remote.Problem{Result: remote.Malformed, Text: "its userinfo is of somebody else"}
			}
			f = withName(f, said)
			return remote.Answered, nil
		},
	})
	return f, at, p
}

// withName is what is known of a token, with whom userinfo names.
func withName(f, said Facts) Facts {
	if f.Subject == "" {
		f.Subject = said.Subject
	}
	if f.Username == "" {
		f.Username = said.Username
	}
	if f.MappedUser == "" {
		f.MappedUser = said.MappedUser
	}
	return f
}
