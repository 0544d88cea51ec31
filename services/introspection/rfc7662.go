package introspection

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// speaksRFC7662 tells whether providers of a kind have an introspection endpoint as RFC 7662 wants it. The
// kinds named here have none, or one of another shape.
func speaksRFC7662(kind string) bool {
	switch kind {
	case "entra", "google", "github", "cognito", "auth0", "adfs", "facebook", "slack":
		return false
	default:
		return true
	}
}

// needsSecret tells whether a way of showing ourselves to the provider needs a secret, and whether it is known.
func needsSecret(callerAuth string) (needed, known bool) {
	switch callerAuth {
	case "", "client_secret_basic", "client_secret_post":
		return true, true
	case "none": // endpoints on an admin port, as Ory Hydra's
		return false, true
	default:
		return false, false
	}
}

// rfc7662Request is RFC 7662 §2.1. It says Idempotency-Key without sending one: that lets net/http repeat it
// when a kept connection was closed by the other side meanwhile. Asking twice changes nothing.
func rfc7662Request(ctx context.Context, how asking, token string) (*http.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	switch how.callerAuth {
	case "client_secret_post":
		form.Set("client_id", how.clientID)
		form.Set("client_secret", how.value)
	case "none":
		if how.clientID != "" {
			form.Set("client_id", how.clientID)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, how.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	setCommon(r.Header)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Idempotency-Key"] = []string{}
	if how.callerAuth == "" || how.callerAuth == "client_secret_basic" {
		r.SetBasicAuth(url.QueryEscape(how.clientID), url.QueryEscape(how.value)) // RFC 6749 §2.3.1: encoded first
	}
	return r, nil
}

// introspect asks a provider about a token. at is when it answered.
func introspect(ctx context.Context, client *http.Client, how asking, token string) (f facts, at time.Time, p *problem) {
	r, err := rfc7662Request(ctx, how, token)
	if err != nil {
		return facts{}, at, &problem{result: resultUnreachable, text: "the introspection endpoint is no URL"}
	}
	reply, err := client.Do(r)
	at = time.Now()
	if err != nil {
		return facts{}, at, notAnswered(ctx, err)
	}
	defer finish(reply)
	if p := statusProblem(reply.StatusCode); p != nil {
		return facts{}, at, p
	}
	body, p := readReply(ctx, reply)
	if p != nil {
		return facts{}, at, p
	}
	f, err = parseReply(body, how.usernameClaim)
	if err != nil {
		return facts{}, at, &problem{result: resultMalformed, text: "the reply " + err.Error()}
	}
	return f, at, nil
}

// statusProblem: RFC 7662 answers 200 to every token it was properly asked about, so anything else says
// something about the provider or about us, and never that the token is inactive.
func statusProblem(status int) *problem {
	text := "it answers " + strconv.Itoa(status)
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &problem{result: resultCredentials, text: text + ": it does not take our client id and secret"}
	case status >= http.StatusInternalServerError:
		return &problem{result: resultServerError, text: text}
	default:
		return &problem{result: resultStatus, text: text}
	}
}
