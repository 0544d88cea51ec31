package gateway

// jira is Jira Data Center (and Jira Service Management).
func jira() *product {
	return &product{
		name:       "jira",
		apiPaths:   []string{"/rest/**", "/rpc/**", "/plugins/servlet/**"},
		tokenPaths: []string{"/rest/**", "/rpc/**", "/secure/attachment/**", "/secure/thumbnail/**", "/download/**", "/s/**", "/plugins/servlet/**"},
		loginPaths: []string{
			"/login.jsp", "/rest/tsv/1.0/authenticate", "/rest/auth/1/session", "/rest/auth/latest/session",
		},
		sessionCookies: []string{"JSESSIONID", "seraph.*", "crowd.token_key"},
		pat:            serverPAT,
		statusPath:     "/status",
		namesUser:      true,
	}
}
