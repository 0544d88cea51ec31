package lab

import (
	"html"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// loginPath is the page where a person logs in for a client.
const loginPath = "/lab/login"

func (p *Provider) loginRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+loginPath, p.loginForm)
	mux.HandleFunc("POST "+loginPath, p.login)
}

func (p *Provider) loginForm(w http.ResponseWriter, r *http.Request) {
	if id, ok := p.waiting(w, r); ok {
		writeLogin(w, http.StatusOK, id, "")
	}
}

// login takes the form; whoever may log in goes on to the library's callback.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id, ok := p.waiting(w, r)
	if !ok {
		return
	}
	name := r.PostFormValue("username")
	a, result := p.store.users.password(name, r.PostFormValue("password"), true)
	if result != loginOK {
		writeLogin(w, http.StatusUnauthorized, id, name)
		return
	}
	if err := p.store.requests.login(time.Now(), id, a.name); err != nil {
		loginGone(w)
		return
	}
	ctx := op.ContextWithIssuer(r.Context(), p.issuer)
	http.Redirect(w, r, op.AuthCallbackURL(p.op)(ctx, id), http.StatusSeeOther)
}

// waiting is the id of the request somebody is to log in for; false means it was answered.
func (p *Provider) waiting(w http.ResponseWriter, r *http.Request) (string, bool) {
	id := r.FormValue("id")
	a, err := p.store.requests.find(time.Now(), id)
	if err != nil || a.Done() {
		loginGone(w)
		return "", false
	}
	return id, true
}

func loginGone(w http.ResponseWriter) {
	writePage(w, http.StatusBadRequest, "Log in",
		"<p role=\"alert\">There is nothing to log in for here, or no longer. Start again where you came from.</p>\n")
}

// writeLogin is the form, after a refusal with the name that was tried.
func writeLogin(w http.ResponseWriter, status int, id, name string) {
	alert := ""
	if status == http.StatusUnauthorized {
		alert = "<p role=\"alert\">Sorry, your username and password are incorrect.</p>\n"
	}
	w.Header().Set("Cache-Control", "no-store")
	writePage(w, status, "Log in", alert+`<form method="post" action="`+loginPath+`">
<label>Username <input name="username" autocomplete="username" required value="`+html.EscapeString(name)+`"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="id" value="`+html.EscapeString(id)+`">
<button>Log In</button></form>
`)
}
