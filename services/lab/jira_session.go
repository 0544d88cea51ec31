package lab

import (
	"net/http"
	"time"
)

func (j *jira) sessionRoutes() {
	j.route("GET /rest/auth/1/session", j.currentSession)
	j.route("POST /rest/auth/1/session", j.restLogin)
	j.route("DELETE /rest/auth/1/session", loggedIn(j.restLogout))
	j.route("POST /rest/tsv/1.0/authenticate", j.pageLogin)
}

func loginInfo() map[string]any {
	return map[string]any{"failedLoginCount": 0, "loginCount": 1, "previousLoginTime": stamp(time.Now())}
}

func (j *jira) currentSession(w http.ResponseWriter, r *http.Request, c call) {
	j.whoAmI.Add(1)
	loggedIn(func(w http.ResponseWriter, _ *http.Request, c call) {
		writeJSON(w, http.StatusOK, map[string]any{
			"self": c.base + "/rest/api/latest/user?username=" + c.name, "name": c.name, "loginInfo": loginInfo(),
		})
	})(w, r, c)
}

type passwordLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Target   string `json:"targetUrl"`
}

// restLogin opens a session; here a CAPTCHA can not be solved.
func (j *jira) restLogin(w http.ResponseWriter, r *http.Request, c call) {
	var in passwordLogin
	if !readJSON(w, r, &in) {
		return
	}
	a, result := j.users.password(in.Username, in.Password, false)
	switch result {
	case loginOK:
		writeJSON(w, http.StatusOK, map[string]any{
			"session":   map[string]string{"name": j.cookie, "value": c.node.openSession(w, a)},
			"loginInfo": loginInfo(),
		})
	case loginDenied:
		c.node.stampRefusal(w, c, denial{status: http.StatusForbidden, reason: result})
		jiraError(w, http.StatusForbidden, "Login denied: CAPTCHA")
	default:
		c.node.stampRefusal(w, c, denial{status: http.StatusUnauthorized, reason: result})
		jiraError(w, http.StatusUnauthorized, "Login failed")
	}
}

// pageLogin is what the login page of newer versions posts; a person is taken to
// have solved the CAPTCHA.
func (j *jira) pageLogin(w http.ResponseWriter, r *http.Request, c call) {
	var in passwordLogin
	if !readJSON(w, r, &in) {
		return
	}
	a, result := j.users.password(in.Username, in.Password, true)
	if result != loginOK {
		c.node.stampRefusal(w, c, denial{status: http.StatusUnauthorized, reason: result})
		jiraError(w, http.StatusUnauthorized, "Login failed")
		return
	}
	c.node.openSession(w, a)
	writeJSON(w, http.StatusOK, map[string]any{"redirectUrl": c.base + localPath(in.Target, "/secure/Dashboard.jspa")})
}

func (j *jira) restLogout(w http.ResponseWriter, _ *http.Request, c call) {
	j.logins.end(c.sessionID)
	j.passing.end(c.sessionID)
	w.WriteHeader(http.StatusNoContent)
}
