package gateway

import (
	"fmt"
	"strings"
)

// ProductsInWords is docs/reference/products.md.
func ProductsInWords() string {
	var out strings.Builder
	out.WriteString(`# What Gatehouse knows of each product

The data of ` + "`services/gateway/product_*.go`" + `, as the tests print it (` + "`go test ./services/gateway -run Printed -update`" + `). ` + "`*`" + ` stands for one segment of a
path, ` + "`**`" + ` for any rest. Lists that open match the exact canonical path, lists that close match it under every name ([policy.md](policy.md)).
`)
	list := func(title string, items []string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(&out, "\n%s:\n\n", title)
		for _, item := range items {
			fmt.Fprintf(&out, "- `%s`\n", item)
		}
	}
	for _, p := range []*product{jira(), confluence(), bitbucket()} {
		fmt.Fprintf(&out, "\n## %s\n", p.name)
		list("API paths, unless `api_paths` names others (row 2)", p.apiPaths)
		list("Log-in paths, which are no API without a credential (row 2, they open)", p.loginPaths)
		list("Cookies of a browser session (row 6; `*`: any rest)", p.sessionCookies)
		list("Paths for tokens, unless `token_paths` names others (row 11b, they open)", p.tokenPaths)
		list("Calls that only read though they are POSTs (row 12, they open)", p.readingPosts)
		list("GETs that change something (row 12, they close)", p.changingGets)
		if p.marker != "" {
			list("GETs that change something with the parameter `"+p.marker+"`, unless it is `false` (row 12, they close)", p.markingGets)
		}
		list("Extensions of pages that take orders by GET, in any segment (row 12)", p.actions)
	}
	return out.String()
}
