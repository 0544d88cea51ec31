package introspection

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// verdict is what a product said of a credential, and when.
type verdict struct {
	kind   identityv1.WhoAmIReply_Verdict
	user   string
	detail string
	// Of the product's reply, for the caller.
	loginReason, deniedReason string
	at                        time.Time
}

// maxReason bounds what is kept of a product's headers.
const maxReason = 512

// judge reads a product's reply. What it cannot read is a problem, never a refusal.
func judge(ctx context.Context, p product, r *http.Response) (*verdict, *remote.Problem) {
	v := &verdict{
		at:          time.Now(),
		loginReason: cut(strings.Join(r.Header.Values(headerLoginReason), ",")), deniedReason: cut(r.Header.Get(headerDeniedReason)),
	}
	switch {
	case r.StatusCode != http.StatusOK && wantsCaptcha(v):
		v.kind, v.detail = identityv1.WhoAmIReply_VERDICT_CAPTCHA, "the product wants a CAPTCHA solved first"
		return v, nil
	case r.StatusCode == http.StatusUnauthorized:
		return v.refused("the product answers 401"), nil
	case r.StatusCode == http.StatusForbidden && (v.loginReason != "" || remote.IsJSON(r.Header.Get("Content-Type"))):
		// The product's own no, as Jira 11 with Basic switched off, or no licence. A page would be somebody's between.
		return v.refused("the product answers 403"), nil
	case r.StatusCode >= http.StatusInternalServerError:
		return nil, &remote.Problem{Result: remote.ServerError, Text: "it answers " + strconv.Itoa(r.StatusCode)}
	case r.StatusCode != http.StatusOK:
		return nil, &remote.Problem{Result: remote.UnexpectedStatus, Text: "it answers " + strconv.Itoa(r.StatusCode)}
	default:
		return v.of(ctx, p, r)
	}
}

// of reads a 200.
func (v *verdict) of(ctx context.Context, p product, r *http.Response) (*verdict, *remote.Problem) {
	var body []byte
	if remote.IsJSON(r.Header.Get("Content-Type")) {
		var problem *remote.Problem
		if body, problem = remote.ReadReply(ctx, r); problem != nil {
			return nil, problem
		}
	}
	name, err := p.user(r.Header, body)
	if err == nil {
		err = checkName(name)
	}
	if err != nil {
		return nil, &remote.Problem{Result: remote.Malformed, Text: err.Error()}
	}
	if isAnonymous(name) || r.Header.Get(headerUser) != "" && isAnonymous(userHeader(r.Header)) {
		return v.refused("the product serves it as anonymous"), nil
	}
	if !agrees(r.Header, name) {
		return nil, &remote.Problem{Result: remote.Malformed, Text: "the reply names two users"}
	}
	v.kind, v.user = identityv1.WhoAmIReply_VERDICT_KNOWN, name
	return v, nil
}

func (v *verdict) refused(detail string) *verdict {
	v.kind, v.detail = identityv1.WhoAmIReply_VERDICT_REFUSED, detail
	return v
}

// wantsCaptcha: AUTHENTICATION_DENIED means that the password was not even looked at.
func wantsCaptcha(v *verdict) bool {
	return strings.HasPrefix(v.deniedReason, "CAPTCHA") || strings.Contains(v.loginReason, "AUTHENTICATION_DENIED")
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxReason)], "?") }

// name is the verdict as metrics and span name it.
func (v *verdict) name() string {
	switch v.kind {
	case identityv1.WhoAmIReply_VERDICT_KNOWN:
		return "known"
	case identityv1.WhoAmIReply_VERDICT_CAPTCHA:
		return "captcha"
	default:
		return "refused"
	}
}
