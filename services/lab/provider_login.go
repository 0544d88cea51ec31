package lab

import (
	"html/template"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// loginPath is where people log in at the provider.
const loginPath = "/lab/login"

// login shows the form to log in with, and takes it.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	if _, err := p.store.AuthRequestByID(r.Context(), id); err != nil {
		http.Error(w, "No such sign-in is under way.", http.StatusNotFound)
		return
	}
	shown := struct{ ID, User, Problem string }{ID: id}
	if r.Method == http.MethodPost {
		shown.User = r.PostFormValue("username")
		if a, ended := p.people.password(shown.User, r.PostFormValue("password"), true); ended == loginOK && p.store.loggedIn(id, a.name) == nil {
			http.Redirect(w, r, op.AuthCallbackURL(p.op)(op.ContextWithIssuer(r.Context(), p.issuer), id), http.StatusSeeOther)
			return
		}
		shown.Problem = "Wrong user name or password."
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if shown.Problem != "" {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_ = template.Must(template.New("login").Parse(loginHTML)).Execute(w, shown) // who has left sees nothing
}

const loginHTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lab log-in</title></head>
<body><main><h1>Log in at the lab's provider</h1>
{{if .Problem}}<p role="alert">{{.Problem}}</p>{{end}}
<form method="post" action="` + loginPath + `"><input type="hidden" name="id" value="{{.ID}}">
<p><label>User name <input name="username" value="{{.User}}" autocomplete="username" required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button>Log in</button></p></form>
<p>alice, bob, carol and svc-api; the password is the name and -password.</p></main></body></html>
`
