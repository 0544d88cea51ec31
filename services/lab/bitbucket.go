package lab

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// newBitbucket is a Bitbucket-shaped product: what of it differs for a gateway, and little else. A person who is not known
// is named by no X-AUSERNAME.
func newBitbucket(log *slog.Logger) *Product {
	p := newProduct(log, "bitbucket", "", "/login", "stash-users")
	p.cookie = "BITBUCKETSESSIONID"
	p.probeRoutes()
	p.patRoutes()
	p.pageRoutes("/dashboard")
	p.route("GET /rest/api/latest/application-properties", func(w http.ResponseWriter, _ *http.Request, _ call) {
		p.whoAmI.Add(1)
		writeJSON(w, http.StatusOK, map[string]any{"version": "9.4.0", "buildNumber": "9004000", "displayName": "Bitbucket"})
	})
	p.route("GET /rest/api/latest/users/{slug}", loggedIn(func(w http.ResponseWriter, r *http.Request, _ call) {
		a, ok := p.users.find(r.PathValue("slug"))
		if !ok {
			bitbucketError(w, http.StatusNotFound, "com.atlassian.bitbucket.user.NoSuchUserException", "User "+r.PathValue("slug")+" does not exist.")
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"name": a.name, "displayName": a.display, "active": a.active, "slug": strings.ToLower(a.name), "type": "NORMAL"})
	}))
	p.route("GET /rest/api/latest/admin/users/more-members", loggedIn(func(w http.ResponseWriter, r *http.Request, _ call) {
		a, _ := p.users.find(r.FormValue("context"))
		from := min(number(r, "start", 0), len(a.groups))
		to := min(from+number(r, "limit", 25), len(a.groups))
		values := []any{}
		for _, g := range slices.Clone(a.groups[from:to]) {
			values = append(values, map[string]any{"name": g, "deletable": true})
		}
		page := map[string]any{"size": len(values), "start": from, "limit": to - from, "isLastPage": to == len(a.groups), "values": values}
		if to < len(a.groups) {
			page["nextPageStart"] = to
		}
		writeJSON(w, http.StatusOK, page)
	}))
	// Git's smart protocol over HTTP, as far as who may call is concerned.
	for _, service := range []string{"git-upload-pack", "git-receive-pack"} {
		p.route("POST /scm/{project}/{repository}/"+service, loggedIn(func(w http.ResponseWriter, _ *http.Request, _ call) {
			w.Header().Set("Content-Type", "application/x-"+service+"-result")
			_, _ = w.Write([]byte("0000"))
		}))
	}
	return p
}

func bitbucketError(w http.ResponseWriter, status int, class, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]any{"context": nil, "message": message, "exceptionName": class}}})
}
