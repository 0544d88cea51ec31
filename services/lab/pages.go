package lab

import (
	"html"
	"net/http"
	"net/url"
	"strings"
)

// pageRoutes are what a person sees in a browser.
func (p *Product) pageRoutes(home string) {
	p.route("GET "+home, p.homePage)
	p.route("GET "+p.loginPath, p.loginForm)
	p.route("POST "+p.loginPath, p.webLogin(home))
	p.route("POST /dologin.action", p.webLogin(home))
	p.route("GET /secure/Logout.jspa", p.logout)
	p.route("GET /logout.action", p.logout)
	p.route("GET /{$}", func(w http.ResponseWriter, r *http.Request, c call) {
		http.Redirect(w, r, c.base+home, http.StatusFound)
	})
	p.route("/", func(w http.ResponseWriter, r *http.Request, c call) {
		if strings.HasPrefix(r.URL.Path, "/rest/") {
			restMessage(w, http.StatusNotFound, "null for uri: "+c.base+r.URL.Path)
			return
		}
		containerError(w, http.StatusNotFound, "Not Found")
	})
}

func (p *Product) homePage(w http.ResponseWriter, _ *http.Request, c call) {
	link := `<a href="` + html.EscapeString(c.base+p.loginPath) + `">Log In</a>`
	if !c.anonymous() {
		link = "<p>Signed in as <b id=\"user\">" + html.EscapeString(c.display) + "</b></p>"
	}
	writePage(w, http.StatusOK, "System Dashboard", link+"\n<p>Node "+c.node.id+"</p>\n")
}

func (p *Product) loginForm(w http.ResponseWriter, r *http.Request, c call) {
	writePage(w, http.StatusOK, "Log in", `<form method="post" action="`+html.EscapeString(c.base+p.loginPath)+`">
<label>Username <input name="os_username"></label>
<label>Password <input name="os_password" type="password"></label>
<input type="hidden" name="os_destination" value="`+html.EscapeString(r.FormValue("os_destination"))+`">
<button>Log In</button></form>
`)
}

// webLogin takes the form; a person is taken to have solved the CAPTCHA.
func (p *Product) webLogin(home string) resource {
	return func(w http.ResponseWriter, r *http.Request, c call) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		a, result := p.users.password(r.PostFormValue("os_username"), r.PostFormValue("os_password"), true)
		if result != loginOK {
			w.Header().Set("X-Seraph-LoginReason", string(result))
			writePage(w, http.StatusOK, "Log in", "<p>Sorry, your username and password are incorrect.</p>\n")
			return
		}
		c.node.openSession(w, a)
		http.Redirect(w, r, c.base+localPath(r.PostFormValue("os_destination"), home), http.StatusFound) //nolint:gosec // localPath keeps it on this server
	}
}

// localPath is a destination on this server, or home.
func localPath(destination, home string) string {
	u, err := url.Parse(destination)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return home
	}
	return u.RequestURI()
}

// openSession replaces what the filters stamped by a session of this user.
func (n *Node) openSession(w http.ResponseWriter, a account) string {
	w.Header().Del("Set-Cookie")
	id := n.product.logins.add(a.name, n.id)
	n.setSession(w, id)
	w.Header().Set("X-Seraph-LoginReason", string(loginOK))
	if !n.product.nameless.Load() {
		w.Header().Set("X-AUSERNAME", url.PathEscape(a.name))
	}
	return id
}

func (p *Product) logout(w http.ResponseWriter, _ *http.Request, c call) {
	p.logins.end(c.sessionID)
	w.Header().Set("X-Seraph-LoginReason", "OUT")
	writePage(w, http.StatusOK, "Logout", "<p>You are now logged out.</p>\n")
}

// toLogin sends an anonymous visitor of a page to the login form.
func (p *Product) toLogin(w http.ResponseWriter, r *http.Request, c call) {
	http.Redirect(w, r, c.base+p.loginPath+"?os_destination="+url.QueryEscape(r.URL.Path), http.StatusFound)
}
