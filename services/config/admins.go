package config

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/go-chi/chi/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// adminToken is an admin token as it is shown; Token only by the answer that issues it.
type adminToken struct {
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Token     string     `json:"token,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // absent: never
	Expired   bool       `json:"expired"`
	Version   uint64     `json:"version,omitempty"` // the configuration that knows it
}

func shownToken(t configlog.AdminToken, now time.Time) adminToken {
	out := adminToken{Name: t.Name, Role: t.Role}
	if !t.ExpiresAt.IsZero() {
		out.ExpiresAt, out.Expired = &t.ExpiresAt, !now.Before(t.ExpiresAt)
	}
	return out
}

// getAdminTokens answers who may use the admin API.
func (a *api) getAdminTokens(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	s, err := a.loaded()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	page := struct {
		AdminTokens []adminToken `json:"admin_tokens"`
	}{AdminTokens: []adminToken{}}
	if a.settings.AdminToken != (adminauth.Digest{}) {
		page.AdminTokens = append(page.AdminTokens, adminToken{Name: adminauth.Bootstrap, Role: adminauth.RoleAdmin})
	}
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(s.AdminTokens)) {
		page.AdminTokens = append(page.AdminTokens, shownToken(s.AdminTokens[name], now))
	}
	a.reply(w, r, http.StatusOK, page)
}

// tokenRequest asks for an admin token.
type tokenRequest struct {
	Name      string             `json:"name"`
	Role      string             `json:"role"`
	ExpiresIn configlog.Duration `json:"expires_in"` // absent or 0: never
}

func (t tokenRequest) problems() []fault.Problem {
	var out []fault.Problem
	problem := func(path, message string) { out = append(out, fault.Problem{Path: path, Message: message}) }
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-._@"
	if t.Name == "" || len(t.Name) > 63 || strings.Trim(strings.ToLower(t.Name), letters) != "" {
		problem("name", "must be 1 to 63 letters, digits, -, ., _ or @")
	}
	if t.Name == adminauth.Bootstrap {
		problem("name", "bootstrap is the first admin's name")
	}
	if !slices.Contains(adminauth.Roles(), t.Role) {
		problem("role", "must be one of "+strings.Join(adminauth.Roles(), ", "))
	}
	if t.ExpiresIn < 0 || (t.ExpiresIn > 0 && t.ExpiresIn.Std() < time.Second) || t.ExpiresIn.Std() > 10*366*24*time.Hour {
		problem("expires_in", "must be from 1s to 3660d; absent: it does not expire")
	}
	return out
}

// postAdminToken issues an admin token and answers it, this once.
func (a *api) postAdminToken(w http.ResponseWriter, r *http.Request) {
	c, err := a.unconditional(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	data, syntax, err := body(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	var asked tokenRequest
	if problems := document.Join(document.ReadInto(data, syntax, &asked), asked.problems()); len(problems) > 0 {
		a.fail(w, r, unfit("no token was issued", problems))
		return
	}
	token := adminauth.NewToken()
	digest := adminauth.Hash(token)
	issued := configlog.AdminToken{Name: asked.Name, Role: asked.Role, SHA256: digest}
	fact := &configv1.AdminTokenIssued{Name: asked.Name, Role: asked.Role, TokenSha256: digest[:]}
	if asked.ExpiresIn > 0 {
		issued.ExpiresAt = time.Now().Add(asked.ExpiresIn.Std()).UTC()
		fact.ExpiresAt = timestamppb.New(issued.ExpiresAt)
	}
	c.propose = func(_ context.Context, s *configlog.Snapshot) (*proposal, error) {
		if _, there := s.AdminTokens[asked.Name]; there {
			return nil, fault.New(fault.Conflict, "there is an admin token of this name: revoke it first")
		}
		return &proposal{extra: []proto.Message{fact}}, nil
	}
	out, err := a.change(r.Context(), c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	shown := shownToken(issued, time.Now())
	shown.Token, shown.Version = token, out.state.Seq
	w.Header().Set("Location", r.URL.Path+"/"+issued.Name)
	w.Header().Set(headerVersion, strconv.FormatUint(out.state.Seq, 10))
	a.reply(w, r, http.StatusCreated, shown)
}

// deleteAdminToken revokes an admin token.
func (a *api) deleteAdminToken(w http.ResponseWriter, r *http.Request) {
	c, err := a.unconditional(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	name := chi.URLParam(r, "name")
	c.propose = func(_ context.Context, s *configlog.Snapshot) (*proposal, error) {
		if name == adminauth.Bootstrap {
			return nil, fault.New(fault.Conflict, "bootstrap is set by GATEHOUSE_ADMIN_TOKEN: change it there")
		}
		if _, there := s.AdminTokens[name]; !there {
			return nil, fault.New(fault.NotFound, "there is no admin token of this name")
		}
		return &proposal{extra: []proto.Message{&configv1.AdminTokenRevoked{Name: name}}}, nil
	}
	out, err := a.change(r.Context(), c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set(headerVersion, strconv.FormatUint(out.state.Seq, 10))
	a.reply(w, r, http.StatusOK, map[string]uint64{"version": out.state.Seq})
}

// unconditional gives a command that may follow whatever there is.
func (a *api) unconditional(r *http.Request) (command, error) {
	values, err := query(r, "why")
	if err != nil {
		return command{}, err
	}
	why, err := reason(cmp.Or(values.Get("why"), r.Header.Get(HeaderWhy)))
	return command{who: adminauth.From(r.Context()), why: why, requestID: requestID(r), condition: condition{any: true}}, err
}
