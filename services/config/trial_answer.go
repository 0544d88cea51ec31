package config

import (
	"net/http"
	"time"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/names"
)

// trialAnswer is what became of a call that was tried.
type trialAnswer struct {
	Site    string `json:"site"`
	Gateway string `json:"gateway"`
	// Version is that of the configuration; of a draft there is none.
	Version uint64 `json:"version,omitempty"`
	Draft   bool   `json:"draft"`

	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Detail   string `json:"detail,omitempty"`
	Observed string `json:"observed,omitempty"`
	Row      string `json:"row"`
	Status   uint32 `json:"status,omitempty"`
	// Met tells whether it is what was expected; absent: nothing was.
	Met *bool `json:"met,omitempty"`

	Credential  string      `json:"credential"`
	Fingerprint string      `json:"fingerprint,omitempty"`
	Provider    string      `json:"provider,omitempty"`
	ClientID    string      `json:"client_id,omitempty"`
	User        string      `json:"user,omitempty"`
	SeenAs      string      `json:"seen_as,omitempty"` // by the node
	Groups      []string    `json:"groups,omitempty"`
	Token       *tokenFacts `json:"token,omitempty"`

	Steps    []trialStep `json:"steps"`
	Warnings []string    `json:"warnings"`
}

// tokenFacts is what a provider says of a token.
type tokenFacts struct {
	Active    bool       `json:"active"`
	Holder    string     `json:"holder,omitempty"` // client or person
	Username  string     `json:"username,omitempty"`
	Mapped    string     `json:"mapped_user,omitempty"`
	Subject   string     `json:"subject,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	Audience  []string   `json:"audience,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	Type      string     `json:"token_type,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Detail    string     `json:"detail,omitempty"`
}

// trialStep is one step of a trial.
type trialStep struct {
	Name      string          `json:"name"`
	Result    string          `json:"result"`
	Reason    string          `json:"reason,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Took      float64         `json:"took_ms"`
	Exchanges []trialExchange `json:"exchanges,omitempty"`
}

// trialExchange is one HTTP call, without any secret.
type trialExchange struct {
	To       string              `json:"to"`
	Method   string              `json:"method"`
	URL      string              `json:"url"`
	Sent     map[string][]string `json:"sent,omitempty"`
	Status   uint32              `json:"status,omitempty"`
	Type     string              `json:"content_type,omitempty"`
	Received string              `json:"received,omitempty"`
	Cut      bool                `json:"cut,omitempty"`
	Problem  string              `json:"problem,omitempty"`
	Took     float64             `json:"took_ms"`
}

func newTrialAnswer(m *gatewayv1.TrialReply, t *tried) *trialAnswer {
	out := &trialAnswer{
		Site: t.site.ID, Gateway: m.GetGateway(), Version: t.version, Draft: t.version == 0,
		Decision: m.GetDecision(), Reason: m.GetReason(), Detail: m.GetDetail(), Observed: m.GetObserved(), Row: m.GetRow(), Status: m.GetStatus(),
		Credential: m.GetCredential(), Fingerprint: m.GetFingerprint(), Provider: m.GetProvider(), ClientID: m.GetClientId(),
		User: m.GetUser(), SeenAs: m.GetSeenAs(), Groups: m.GetGroups(), Token: newTokenFacts(m.GetToken()), Steps: []trialStep{}, Warnings: []string{},
	}
	expect, user, kind := t.attempt.Expect, t.attempt.User, t.attempt.Type
	if saved := t.site.Test(t.attempt.Test); saved != nil {
		expect, user, kind = saved.Expect, saved.User, saved.Type
	}
	if expect != "" || user != "" {
		met := meets(m, expect, user)
		out.Met = &met
	}
	if kind != "" && m.GetCredential() != "" && m.GetCredential() != kind {
		out.Warnings = append(out.Warnings, "the credential was taken for "+m.GetCredential()+" by its form, not for "+kind)
	}
	if m.GetDecision() == "allow" && m.GetSeenAs() == "" {
		out.Warnings = append(out.Warnings, "the node did not say whom it takes the caller for")
	}
	for _, s := range m.GetSteps() {
		step := trialStep{Name: s.GetName(), Result: s.GetResult(), Reason: s.GetReason(), Detail: s.GetDetail(), Took: milliseconds(s.GetTook().AsDuration())}
		for _, x := range s.GetExchanges() {
			step.Exchanges = append(step.Exchanges, newTrialExchange(x))
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// meets tells whether what became of a call is what was expected: a decision or a reason, and the user it acts as.
//
// What a call was only observed to deserve is not what became of it. Something that is away proves nothing but its own reason, and
// a call is let in when the node serves it, and as the user meant.
func meets(m *gatewayv1.TrialReply, expect, user string) bool {
	switch {
	case user != "" && !names.Same(m.GetUser(), user), user != "" && m.GetSeenAs() != "" && !names.Same(m.GetSeenAs(), user):
		return false
	case m.GetDecision() == "allow" && m.GetStatus()/100 != 2:
		return false
	case expect == m.GetReason():
		return true
	case m.GetStatus() >= http.StatusInternalServerError, m.GetRow() == "fetch":
		return false
	default:
		return expect == "" || expect == m.GetDecision()
	}
}

func newTokenFacts(m *identityv1.IntrospectReply) *tokenFacts {
	if m == nil {
		return nil
	}
	out := &tokenFacts{
		Active: m.GetActive(), Username: m.GetUsername(), Mapped: m.GetMappedUser(), Subject: m.GetSubject(), Scopes: m.GetScopes(),
		Audience: m.GetAudience(), Issuer: m.GetIssuer(), Type: m.GetTokenType(), Detail: m.GetDetail(),
	}
	switch m.GetHolder() {
	case identityv1.IntrospectReply_HOLDER_CLIENT:
		out.Holder = "client"
	case identityv1.IntrospectReply_HOLDER_PERSON:
		out.Holder = "person"
	case identityv1.IntrospectReply_HOLDER_UNSPECIFIED:
	}
	if m.GetExpiresAt() != nil {
		at := m.GetExpiresAt().AsTime()
		out.ExpiresAt = &at
	}
	return out
}

func newTrialExchange(m *identityv1.Exchange) trialExchange {
	out := trialExchange{
		To: m.GetTo(), Method: m.GetMethod(), URL: m.GetUrl(), Status: m.GetStatus(), Type: m.GetContentType(),
		Received: m.GetReceived(), Cut: m.GetCut(), Problem: m.GetProblem(), Took: milliseconds(m.GetTook().AsDuration()),
	}
	for _, f := range m.GetSent() {
		if out.Sent == nil {
			out.Sent = map[string][]string{}
		}
		out.Sent[f.GetName()] = append(out.Sent[f.GetName()], f.GetValue())
	}
	return out
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
