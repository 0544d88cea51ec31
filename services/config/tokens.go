package config

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
	"github.com/gatehouse-suite/gatehouse/services/config/tokens"
)

// headerTokens carries the sequence of the token log an answer is about.
const headerTokens = "X-Gatehouse-Token-Version" //nolint:gosec // a name

// newDesk gives the desk that decides on API tokens.
func newDesk(host *service.Host, s Settings, js jetstream.JetStream, allowed func(context.Context) error) *tokens.Desk {
	var desk *tokens.Desk
	mends := newHealer(host.Log, js, topology.TokenLog(), s.LogCheck, func(from uint64) []eventlog.Commit { return desk.Since(from) })
	desk = tokens.NewDesk(host.Log, mends.events, tokens.Options{
		Append: s.AppendTimeout, CatchUp: s.CatchUp, Allowed: allowed, Repair: mends.repair, Retry: s.Retry,
	})
	return desk
}

// apiToken is an API token as it is shown; Token only by the answer that issues it.
type apiToken struct {
	ID        string            `json:"id"`
	Token     string            `json:"token,omitempty"`
	Name      string            `json:"name"`
	Owner     string            `json:"owner"`
	Site      string            `json:"site"`
	Standing  tokenlog.Standing `json:"standing"`
	ReadOnly  bool              `json:"read_only"`
	IP        []string          `json:"ip,omitempty"`
	IssuedAt  time.Time         `json:"issued_at"`
	ExpiresAt *time.Time        `json:"expires_at,omitempty"` // absent: never
	RevokedAt *time.Time        `json:"revoked_at,omitempty"`
	// Pending names the gateways that do not know it yet, or what has become of it.
	Pending  *[]string       `json:"pending,omitempty"`
	Warnings []fault.Problem `json:"warnings,omitempty"`
}

func shownAPIToken(t *tokenlog.Token, now time.Time) apiToken {
	at := func(seconds int64) *time.Time {
		if seconds == 0 {
			return nil
		}
		then := time.Unix(seconds, 0).UTC()
		return &then
	}
	out := apiToken{
		ID: t.ID().String(), Name: t.Name, Owner: t.Owner, Site: t.Site, Standing: t.Standing(now), ReadOnly: t.ReadOnly,
		IssuedAt: time.Unix(t.IssuedAt, 0).UTC(), ExpiresAt: at(t.ExpiresAt), RevokedAt: at(t.RevokedAt),
	}
	if t.Ranges != nil {
		for _, p := range *t.Ranges {
			out.IP = append(out.IP, p.String())
		}
	}
	return out
}

// postToken issues an API token and answers it, this once, when the gateways know it.
func (a *api) postToken(w http.ResponseWriter, r *http.Request) {
	by, wait, err := a.deciding(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	data, syntax, err := body(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	now, err := a.loaded()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	var asked tokens.Wanted
	problems := document.ReadInto(data, syntax, &asked)
	site := now.Config.Site(asked.Site)
	if problems = document.Join(problems, asked.Problems(site)); len(problems) > 0 {
		a.fail(w, r, unfit("no token was issued", problems))
		return
	}
	issued, err := a.tokens.Issue(r.Context(), by, &asked, site)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	shown := a.known(r.Context(), issued.Token, issued.State, wait)
	shown.Token = issued.Text
	if !site.Methods.APITokens {
		shown.Warnings = append(shown.Warnings, fault.Problem{Path: "site", Message: "takes no API tokens: methods.api_tokens is off"})
	}
	w.Header().Set("Location", r.URL.Path+"/"+shown.ID)
	w.Header().Set(headerTokens, strconv.FormatUint(issued.State.Seq, 10))
	a.reply(w, r, http.StatusCreated, shown)
}

// known shows a token once the gateways know of it, and names those that do not.
func (a *api) known(ctx context.Context, t *tokenlog.Token, at eventlog.State, wait time.Duration) apiToken {
	shown := shownAPIToken(t, time.Now())
	pending, complete := a.pending(ctx, gateways.Tokens, at, wait)
	if shown.Pending = &pending; !complete {
		shown.Warnings = append(shown.Warnings, fault.Problem{Message: "the list of gateways could not be read yet: pending may lack some"})
	}
	return shown
}

// deciding reads who wants a decision on tokens, why, and how long it is waited for. Unless it is said, it is waited for.
func (a *api) deciding(r *http.Request) (tokens.By, time.Duration, error) {
	values, err := query(r, "why", "wait")
	if err != nil {
		return tokens.By{}, 0, err
	}
	why, err := reason(values.Get("why"), r.Header.Get(HeaderWhy))
	if err != nil {
		return tokens.By{}, 0, err
	}
	wait := a.settings.WaitApplied
	if values.Has("wait") {
		if wait, err = a.waiting(values); err != nil {
			return tokens.By{}, 0, err
		}
	}
	return tokens.By{Who: adminauth.From(r.Context()), Why: why, RequestID: requestID(r)}, wait, nil
}

// getTokens answers which API tokens there are, the latest first.
func (a *api) getTokens(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "site", "owner", "standing", "limit", "cursor")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	limit, err := number(values, "limit", defaultPage, 1, maxPage)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	f := tokens.Filter{Site: values.Get("site"), Owner: values.Get("owner"), Standing: tokenlog.Standing(values.Get("standing")), Limit: int(limit)} //nolint:gosec // up to maxPage
	switch f.Standing {
	case "", tokenlog.Good, tokenlog.Expired, tokenlog.Revoked:
	default:
		a.fail(w, r, fault.New(fault.Invalid, "standing must be good, expired or revoked"))
		return
	}
	if values.Has("cursor") {
		if f.Before, err = tokenlog.ParseID(values.Get("cursor")); err != nil {
			a.fail(w, r, fault.New(fault.Invalid, "cursor is none that was given as next"))
			return
		}
	}
	found, more, err := a.tokens.List(f, time.Now())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	page := struct {
		Tokens []apiToken `json:"tokens"`
		Next   string     `json:"next,omitempty"` // give it as cursor; absent: there is no more
	}{Tokens: []apiToken{}}
	now := time.Now()
	for _, t := range found {
		page.Tokens = append(page.Tokens, shownAPIToken(t, now))
	}
	if more {
		page.Next = found[len(found)-1].ID().String()
	}
	a.reply(w, r, http.StatusOK, page)
}

// getToken answers what is known of an API token.
func (a *api) getToken(w http.ResponseWriter, r *http.Request) {
	t, err := a.tokenOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.reply(w, r, http.StatusOK, shownAPIToken(t, time.Now()))
}

// deleteToken revokes an API token, and answers when the gateways know.
func (a *api) deleteToken(w http.ResponseWriter, r *http.Request) {
	by, wait, err := a.deciding(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	t, err := a.tokenOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	t, at, err := a.tokens.Revoke(r.Context(), by, t.ID())
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set(headerTokens, strconv.FormatUint(at.Seq, 10))
	a.reply(w, r, http.StatusOK, a.known(r.Context(), t, at, wait))
}

// tokenOf gives the token a path names.
func (a *api) tokenOf(r *http.Request) (*tokenlog.Token, error) {
	id, err := tokenlog.ParseID(chi.URLParam(r, "id"))
	if err != nil {
		return nil, fault.New(fault.NotFound, "there is no token of this id: it has 16 hexadecimal digits")
	}
	return a.tokens.Get(id)
}
