package provider

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// introspecting judges tokens by RFC 7662.
type introspecting struct {
	endpoint endpointURL
	caller   *caller
	reading  reading
}

// endpointURL gives where a provider is asked.
type endpointURL func(context.Context, *inquiry) (string, *remote.Problem)

func (v *introspecting) judge(ctx context.Context, q *inquiry, token string) (f Facts, at time.Time, _ *remote.Problem) {
	where, p := v.endpoint(ctx, q)
	if p != nil {
		return Facts{}, at, p
	}
	p = q.send(ctx, call{
		what: "introspect",
		make: func(ctx context.Context) (*http.Request, error) { return v.request(ctx, where, token) },
		read: func(r response) (remote.Result, *remote.Problem) {
			at = r.at
			var err error
			if f, err = parseReply(r.body, v.reading, r.at); err != nil {
				return "", &remote.Problem{Result: remote.Malformed, Text: "the reply " + err.Error()}
			}
			return f.result(), nil
		},
	})
	return f, at, p
}

// request is RFC 7662 §2.1. It says Idempotency-Key without sending one: that lets net/http repeat it when a kept
// connection was closed by the other side meanwhile. Asking twice changes nothing.
func (v *introspecting) request(ctx context.Context, where, token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Idempotency-Key": {}}
	if err := v.caller.show(where, header, form, time.Now()); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, where, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header = header
	}
	return r, err
}

// result is a good answer as metrics name it.
func (f *Facts) result() remote.Result {
	if f.Active {
		return remote.Active
	}
	return remote.Inactive
}

// statusProblem: RFC 7662 answers 200 to every token it was properly asked about, so anything else says
// something about the provider or about us, and never that the token is inactive.
func statusProblem(status int) *remote.Problem {
	text := "it answers " + strconv.Itoa(status)
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &remote.Problem{Result: remote.CredentialsRefused, Text: text + ": it does not take our client id and secret"}
	case status >= http.StatusInternalServerError:
		return &remote.Problem{Result: remote.ServerError, Text: text}
	default:
		return &remote.Problem{Result: remote.UnexpectedStatus, Text: text}
	}
}
