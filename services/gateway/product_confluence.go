package gateway

// confluence is Confluence Data Center.
func confluence() *product {
	return &product{
		name:       "confluence",
		apiPaths:   []string{"/rest/**", "/rpc/**", "/plugins/servlet/**"},
		tokenPaths: []string{"/rest/**", "/rpc/**", "/download/**", "/s/**", "/plugins/servlet/**"},
		loginPaths: []string{
			"/login.action", "/dologin.action", "/doauthenticate.action", "/rest/tsv/1.0/authenticate",
		},
		readingPosts: []string{
			"POST /rest/api/contentbody/convert/*",
			// What pages ask for.
			"POST /rest/webResources/1.0/resources", "POST /rest/files/1.0/files/content/*/byAttachmentIds",
		},
		actions:        []string{".action"},
		sessionCookies: []string{"JSESSIONID", "seraph.*", "crowd.token_key"},
		pat:            serverPAT,
		selfPath:       "/rest/api/user/current",
		statusPath:     "/status",
		namesUser:      true,
	}
}
