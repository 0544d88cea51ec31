package provider

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// tokenCheck judges tokens of GitHub by "check a token" (REST, apps/oauth-applications): 200 with the user and the scopes,
// 404 for one that is not good, or not the app's.
type tokenCheck struct {
	endpoint string
	caller   *caller
	reading  reading
}

func (v *tokenCheck) judge(ctx context.Context, q *inquiry, token string) (f Facts, at time.Time, _ *remote.Problem) {
	p := q.send(ctx, call{
		what: "token_check",
		make: func(ctx context.Context) (*http.Request, error) { return v.request(ctx, token) },
		mean: func(status int) *remote.Problem {
			if status == http.StatusNotFound {
				return nil
			}
			return statusProblem(status)
		},
		read: func(r response) (remote.Result, *remote.Problem) {
			var p *remote.Problem
			if at = r.at; r.status == http.StatusNotFound {
				f, p = no("inactive"), notGitHub(r.body)
				return remote.Inactive, p
			}
			if f, p = v.read(r, token); p != nil {
				return "", p
			}
			return f.result(), nil
		},
	})
	return f, at, p
}

// notGitHub tells whether a 404 is somebody else's than GitHub's own, which names its documentation: a wrong path must not
// make every token inactive.
func notGitHub(body []byte) *remote.Problem {
	var said struct {
		Message       string `json:"message"`
		Documentation string `json:"documentation_url"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" || said.Documentation == "" {
		return &remote.Problem{Result: remote.UnexpectedStatus, Text: "it answers 404, and not as GitHub does of a token"}
	}
	return nil
}

func (v *tokenCheck) request(ctx context.Context, token string) (*http.Request, error) {
	body, err := json.Marshal(map[string]string{"access_token": token})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.endpoint, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {}, "X-Github-Api-Version": {"2022-11-28"}}
	return r, v.caller.show(v.endpoint, r.Header, nil, time.Now())
}

// read brings a reply into the form of RFC 7662.
func (v *tokenCheck) read(r response, token string) (Facts, *remote.Problem) {
	malformed := &remote.Problem{Result: remote.Malformed, Text: "the reply is not about the token that was asked about"}
	var said struct {
		Token string `json:"token"`
		App   struct {
			ClientID string `json:"client_id"`
		} `json:"app"`
		User struct {
			Login string `json:"login"`
			ID    int64  `json:"id"`
		} `json:"user"`
		Scopes    []string   `json:"scopes"`
		CreatedAt time.Time  `json:"created_at"`
		ExpiresAt *time.Time `json:"expires_at"`
	}
	if json.Unmarshal(r.body, &said) != nil || subtle.ConstantTimeCompare([]byte(said.Token), []byte(token)) != 1 ||
		said.User.Login == "" || said.App.ClientID != v.caller.id {
		return Facts{}, malformed
	}
	flat := map[string]any{"active": true, "client_id": said.App.ClientID, "login": said.User.Login, "sub": said.User.ID, "scopes": said.Scopes}
	if !said.CreatedAt.IsZero() {
		flat["iat"] = said.CreatedAt.Unix()
	}
	if said.ExpiresAt != nil {
		flat["exp"] = said.ExpiresAt.Unix()
	}
	body, err := json.Marshal(flat)
	if err != nil {
		return Facts{}, malformed
	}
	f, err := parseReply(body, v.reading, r.at)
	if err != nil {
		return Facts{}, &remote.Problem{Result: remote.Malformed, Text: "the reply " + err.Error()}
	}
	return f, nil
}
