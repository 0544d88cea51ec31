package introspection_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

// try asks a question as a trial, at a site that is given.
func (w *world) try(s *configlog.Site, sealed map[string][]byte, r *identityv1.TrialRequest) (*identityv1.TrialReply, error) {
	w.t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	d := &identityv1.Draft{Site: data, Sealed: sealed}
	if f := r.GetFetch(); f != nil {
		d.Fetches = &identityv1.Fetches{Provider: f.GetProvider(), ClientId: f.GetClientId()}
	}
	r.Ticket = w.ticket(d)
	reply := new(identityv1.TrialReply)
	return reply, ask.Do(ctx, w.gw, topology.Trial, r, reply)
}

// ticket has a draft made, as config does.
func (w *world) ticket(d *identityv1.Draft) []byte {
	w.t.Helper()
	made := new(identityv1.DraftReply)
	if err := ask.Do(w.t.Context(), w.config, topology.Draft, d, made); err != nil {
		w.t.Fatal(err)
	}
	return made.GetTicket()
}

func (w *world) tryToken(s *configlog.Site, sealed map[string][]byte, token string) *identityv1.TrialReply {
	w.t.Helper()
	reply, err := w.try(s, sealed, &identityv1.TrialRequest{Question: &identityv1.TrialRequest_Introspect{
		Introspect: &identityv1.IntrospectRequest{Site: s.ID, Token: token, ConfigSequence: w.at.Seq},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return reply
}

func siteOf(p configlog.Provider) *configlog.Site {
	return &configlog.Site{ID: "jira", Product: "jira", Providers: []configlog.Provider{p}}
}

// TestATrialLeavesNothingBehind: what it asks is asked anew, and nothing that it hears, or fails to hear, counts for others.
func TestATrialLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	p := w.provider(f.URL)
	w.site(p)
	i := w.run(func(s *introspection.Settings) { s.BreakerFailures, s.CallTimeout = 2, 200*time.Millisecond })
	w.active("good")
	asked := f.calls.Load()
	if r := w.tryToken(siteOf(p), nil, "good"); !r.GetIntrospect().GetActive() || len(r.GetExchanges()) != 1 || f.calls.Load() != asked+1 {
		t.Errorf("%v", r)
	}
	f.on("good", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	if r := w.tryToken(siteOf(p), nil, "good"); r.GetIntrospect().GetActive() {
		t.Errorf("%v", r)
	}
	w.active("good") // by what is remembered
	f.on("", says(503, "text/plain", "down"))
	for _, token := range []string{"token-1", "token-2", "token-3", "token-4"} {
		if r := w.tryToken(siteOf(p), nil, token); r.GetFaultCode() != "unavailable" || r.GetExchanges()[0].GetStatus() != 503 || r.GetExchanges()[0].GetReceived() != "down" {
			t.Errorf("%v", r)
		}
	}
	if state := i.metric(t, "gatehouse_introspection_breaker_state", `provider="corp"`); state != 0 {
		t.Errorf("trials have opened the breaker: %v", state)
	}
	// The configuration knows no such provider; the trial does, by a secret that is stored nowhere.
	sealed, err := w.sealer.Encrypt(secret.Introspection, "gatehouse-secret")
	if err != nil {
		t.Fatal(err)
	}
	f.on("", nil)
	draft := p
	draft.ID, draft.ClientSecret = "other", configlog.Secret{Ref: "draft", Version: 1, Fingerprint: "x"}
	if r := w.tryToken(siteOf(draft), map[string][]byte{"draft.1": sealed}, "good-too"); !r.GetIntrospect().GetActive() || r.GetIntrospect().GetProvider() != "other" || r.GetExchanges()[0].GetTo() != "provider other" {
		t.Errorf("%v", r)
	}
	if r := w.tryToken(siteOf(draft), nil, "good-too"); r.GetFaultCode() != "unavailable" || !strings.Contains(r.GetFault(), "cannot be opened") {
		t.Errorf("the secret of a draft was kept: %v", r)
	}
}

func TestWhatCannotBeTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.site(w.provider("http://127.0.0.1:1"))
	w.run(nil)
	jira := w.ticket(&identityv1.Draft{Site: []byte(`{"id":"jira"}`)})
	nope := w.ticket(&identityv1.Draft{Site: []byte(`{"id":"jira"}`), Fetches: &identityv1.Fetches{Provider: "nope"}})
	// A gateway that was broken into gets no token but the one that is tried.
	for name, fetch := range map[string]*identityv1.FetchRequest{
		"nothing is fetched": {Site: "jira", Provider: "corp"}, "another provider": {Site: "jira", Provider: "corp"}, "another client": {Site: "jira", Provider: "nope", ClientId: "x"},
	} {
		ticket := nope
		if name == "nothing is fetched" {
			ticket = jira
		}
		r := &identityv1.TrialRequest{Ticket: ticket, Question: &identityv1.TrialRequest_Fetch{Fetch: fetch}}
		if err := ask.Do(t.Context(), w.gw, topology.Trial, r, new(identityv1.TrialReply)); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	question := &identityv1.TrialRequest_Introspect{Introspect: &identityv1.IntrospectRequest{Site: "jira", Token: "x"}}
	for name, r := range map[string]*identityv1.TrialRequest{
		"no draft":     {Question: question},
		"no ticket":    {Ticket: []byte(`{"site":{"id":"jira"}}`), Question: question},
		"altered":      {Ticket: append([]byte{jira[0] ^ 1}, jira[1:]...), Question: question},
		"no question":  {Ticket: jira},
		"another site": {Ticket: w.ticket(&identityv1.Draft{Site: []byte(`{"id":"wiki"}`)}), Question: question},
		"no provider":  {Ticket: nope, Question: &identityv1.TrialRequest_Fetch{Fetch: &identityv1.FetchRequest{Site: "jira", Provider: "nope"}}},
	} {
		reply := new(identityv1.TrialReply)
		err := ask.Do(t.Context(), w.gw, topology.Trial, r, reply)
		if code := fault.CodeOf(err); code != fault.Invalid && reply.GetFaultCode() != "invalid" && reply.GetFaultCode() != "not_found" {
			t.Errorf("%s: %v, %v", name, reply, err)
		}
	}
}
