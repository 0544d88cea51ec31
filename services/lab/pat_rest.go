package lab

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// patRoutes are /rest/pat: every user's own tokens.
func (p *Product) patRoutes() {
	p.route("GET /rest/pat/latest/tokens", p.listPATs)
	p.route("POST /rest/pat/latest/tokens", p.createPAT)
	p.route("DELETE /rest/pat/latest/tokens/{id}", p.deletePAT)
}

func patView(t pat) map[string]any {
	view := map[string]any{
		"id": t.id, "name": t.name, "createdAt": isoStamp(t.created), "lastAccessedAt": nil, "expiringAt": nil,
	}
	if !t.lastUsed.IsZero() {
		view["lastAccessedAt"] = isoStamp(t.lastUsed)
	}
	if !t.expires.IsZero() {
		view["expiringAt"] = isoStamp(t.expires)
	}
	return view
}

func (p *Product) patCaller(w http.ResponseWriter, c call) bool {
	if c.anonymous() {
		unauthorized(w, c.base)
		patError(w, http.StatusUnauthorized, "NotAuthorizedException", "You are not authorized to perform this operation.")
		return false
	}
	return true
}

func (p *Product) listPATs(w http.ResponseWriter, _ *http.Request, c call) {
	if !p.patCaller(w, c) {
		return
	}
	views := []any{}
	for _, t := range p.pats.of(c.name) {
		views = append(views, patView(t))
	}
	writeJSON(w, http.StatusOK, views)
}

func (p *Product) createPAT(w http.ResponseWriter, r *http.Request, c call) {
	if !p.patCaller(w, c) {
		return
	}
	var in struct {
		Name     string `json:"name"`
		Duration *int   `json:"expirationDuration"` // days; none: never
	}
	if !readJSON(w, r, &in) {
		return
	}
	const day, longest = 24 * time.Hour, 365
	lifetime := time.Duration(0)
	switch {
	case strings.TrimSpace(in.Name) == "" || len(in.Name) > 40:
		patError(w, http.StatusBadRequest, "InvalidTokenNameException", "The token's name has 1 to 40 characters.")
		return
	case in.Duration != nil && (*in.Duration < 1 || *in.Duration > longest):
		patError(w, http.StatusBadRequest, "InvalidExpirationException", fmt.Sprintf("A token expires in 1 to %d days.", longest))
		return
	case len(p.pats.of(c.name)) >= maxPATs:
		patError(w, http.StatusForbidden, "TokenLimitExceededException", "You have reached the maximum number of tokens.")
		return
	case in.Duration != nil:
		lifetime = time.Duration(*in.Duration) * day
	}
	t := p.pats.add("", in.Name, c.name, lifetime)
	view := patView(t)
	view["rawToken"] = t.raw
	writeJSON(w, http.StatusCreated, view)
}

func (p *Product) deletePAT(w http.ResponseWriter, r *http.Request, c call) {
	if !p.patCaller(w, c) {
		return
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	for _, t := range p.pats.of(c.name) {
		if err == nil && t.id == id {
			p.pats.revoke(t.raw)
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	patError(w, http.StatusNotFound, "TokenNotFoundException", "There is no such token.")
}
