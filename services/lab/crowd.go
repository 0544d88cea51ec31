package lab

import (
	"net/http"
	"slices"
)

// Crowd answers as Crowd's user management does, with the users, groups and nested groups of a product, to one application
// (reference: Atlassian, §2). Its paths are below the address it is served at.
func (p *Product) Crowd(application, password string) http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, answer func(w http.ResponseWriter, r *http.Request, a account)) {
		mux.HandleFunc("GET /rest/usermanagement/1"+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Embedded-Crowd-Version", "Crowd/6.2.0")
			name, secret, _ := r.BasicAuth()
			if name != application || secret != password {
				http.Error(w, "Application failed to authenticate", http.StatusUnauthorized)
				return
			}
			a, _ := p.users.find(r.FormValue("username"))
			answer(w, r, a)
		})
	}
	handle("/user", func(w http.ResponseWriter, r *http.Request, a account) {
		if a.anonymous() {
			crowdError(w, http.StatusNotFound, "USER_NOT_FOUND", "User <"+r.FormValue("username")+"> does not exist")
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"expand": "attributes", "name": a.name, "active": a.active, "display-name": a.display, "email": a.name + "@example.com",
		})
	})
	handle("/user/group/nested", func(w http.ResponseWriter, r *http.Request, a account) {
		all := slices.Clone(a.groups)
		for _, g := range a.groups {
			all = append(all, p.users.ancestorsOf(g)...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		from := min(number(r, "start-index", 0), len(all))
		to := min(from+number(r, "max-results", 1000), len(all))
		groups := []any{} // also of a user it does not know
		for _, g := range all[from:to] {
			groups = append(groups, map[string]any{"name": g})
		}
		writeJSON(w, http.StatusOK, map[string]any{"expand": "group", "groups": groups})
	})
	return mux
}

func crowdError(w http.ResponseWriter, status int, reason, message string) {
	writeJSON(w, status, map[string]any{"reason": reason, "message": message})
}
