package provider

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// tokenInfo judges Google's tokens by its tokeninfo endpoint: 200 with the token's claims, most of them in quotes, and 400
// invalid_token for one that is not good. It takes the token in the query: nothing here ever writes down a URL it asked.
type tokenInfo struct {
	endpoint string
	reading  reading
}

// about is the URL that asks about a token.
func (v *tokenInfo) about(token string) string {
	mark := "?"
	if strings.Contains(v.endpoint, "?") {
		mark = "&"
	}
	return v.endpoint + mark + url.Values{"access_token": {token}}.Encode()
}

func (v *tokenInfo) judge(ctx context.Context, q *inquiry, token string) (f Facts, at time.Time, _ *remote.Problem) {
	p := q.send(ctx, call{
		what: "tokeninfo",
		make: get(v.about(token)),
		mean: func(status int) *remote.Problem {
			if status == http.StatusBadRequest {
				return nil
			}
			return publicStatus(status)
		},
		read: func(r response) (remote.Result, *remote.Problem) {
			at = r.at
			var err error
			if r.status == http.StatusBadRequest {
				f, err = parseRefusal(r.body)
			} else {
				f, err = parseInfo(r.body, v.reading, r.at)
			}
			if err != nil {
				return "", &remote.Problem{Result: remote.Malformed, Text: "the reply " + err.Error()}
			}
			return f.result(), nil
		},
	})
	return f, at, p
}
