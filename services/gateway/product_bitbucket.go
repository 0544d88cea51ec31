package gateway

import "strings"

// bitbucket is Bitbucket Data Center.
func bitbucket() *product {
	return &product{
		name:       "bitbucket",
		apiPaths:   []string{"/rest/**", "/rpc/**", "/plugins/servlet/**"},
		tokenPaths: []string{"/rest/**", "/rpc/**", "/download/**", "/s/**", "/plugins/servlet/**", "/scm/**"},
		loginPaths: []string{"/login", "/j_atl_security_check", "/rest/tsv/1.0/authenticate"},
		readingPosts: []string{
			"POST /scm/*/*/git-upload-pack", // a fetch
			"POST /rest/webResources/1.0/resources",
		},
		sessionCookies: []string{"BITBUCKETSESSIONID", "_atl_bitbucket_remember_me", "crowd.token_key"},
		pat:            func(token string) bool { return strings.HasPrefix(token, "BBDC-") },
		selfPath:       "/plugins/servlet/applinks/whoami",
		statusPath:     "/status",
		namesUser:      true,
	}
}
