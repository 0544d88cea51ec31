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
		readingPosts: []string{
			"POST /rest/api/2/search", "POST /rest/api/latest/search",
			"POST /rest/api/2/worklog/list", "POST /rest/api/latest/worklog/list",
			"POST /rest/api/2/licenseValidator", "POST /rest/api/latest/licenseValidator",
			"POST /rest/api/2/password/policy/createUser", "POST /rest/api/latest/password/policy/createUser",
			"POST /rest/api/2/password/policy/updateUser", "POST /rest/api/latest/password/policy/updateUser",
			"POST /rest/pat/latest/tokens/search",
			// What pages ask for.
			"POST /rest/issueNav/1/issueTable", "POST /rest/issueNav/latest/issueTable",
			"POST /rest/issueNav/1/issueTable/stable", "POST /rest/issueNav/latest/issueTable/stable",
			"POST /rest/orderbycomponent/latest/orderByOptions/primary",
			"POST /rest/webResources/1.0/resources",
			"POST /rest/insight/1.0/object/navlist", "POST /rest/insight-am/1/iql/validate",
			"POST /rest/servicedesk/1/customer/models", "POST /rest/servicedesk/1/*/webfragments/sections/*",
		},
		changingGets:   []string{"GET /rest/api/2/email-templates"},
		markingGets:    []string{"GET /rest/api/2/issue/*", "GET /rest/agile/1.0/issue/*"},
		marker:         "updateHistory",
		actions:        []string{".jspa"},
		sessionCookies: []string{"JSESSIONID", "seraph.*", "crowd.token_key"},
		pat:            serverPAT,
		selfPath:       "/rest/api/2/myself",
		statusPath:     "/status",
		namesUser:      true,
	}
}
