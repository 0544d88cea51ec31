package gateway

import (
	"net/http"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// readings is which calls of a site only read, beyond what the method says.
type readings struct {
	posts    rules.Patterns // POSTs that read: what opens matches the exact path only
	changing rules.Closing  // GETs that change something, under every name
	marking  rules.Closing  // those that do so with the parameter marker
	marker   string
	actions  []string // extensions of pages that take orders by GET too
}

func (p *product) readings() (r readings, err error) {
	if r.posts, err = rules.Compile(p.readingPosts); err != nil {
		return r, err
	}
	if r.changing, err = rules.CompileClosing(p.changingGets); err != nil {
		return r, err
	}
	r.marking, err = rules.CompileClosing(p.markingGets)
	r.marker, r.actions = p.marker, p.actions
	return r, err
}

// reads tells whether a call only reads. Of a call that has a site it is found out once.
func (c *call) reads() bool {
	if c.site == nil {
		return c.safe()
	}
	if !c.sorted {
		c.sorted, c.only = true, c.safe() && !c.changes() || c.r.Method == http.MethodPost && c.queries()
	}
	return c.only
}

// safe tells whether the method says that a call only reads (RFC 9110 §9.2.1).
func (c *call) safe() bool {
	return c.r.Method == http.MethodGet || c.r.Method == http.MethodHead || c.r.Method == http.MethodOptions
}

// queries tells whether a POST only reads: what it asks for is too long for a URL.
func (c *call) queries() bool {
	return c.site.reading.posts.Match(http.MethodPost, c.path) && !rules.HasQuery(c.target.Query, overridesMethod)
}

// changes tells whether a call changes something though its method does not say so. What may come through a websocket
// nobody can say.
func (c *call) changes() bool {
	r := &c.site.reading
	return r.changing.Match(http.MethodGet, c.path) || r.marked(c) || r.action(c.path) || c.upgrades()
}

func (r *readings) marked(c *call) bool {
	return r.marker != "" && r.marking.Match(http.MethodGet, c.path) &&
		rules.AnyQuery(c.target.Query, r.marker, func(value string) bool { return !strings.EqualFold(value, "false") })
}

func (r *readings) action(path string) bool {
	for _, extension := range r.actions {
		for rest := path; ; {
			i := strings.Index(rest, extension)
			if i < 0 {
				break
			}
			if rest = rest[i+len(extension):]; rest == "" || rest[0] == '/' {
				return true
			}
		}
	}
	return false
}

// overridesMethod tells whether a query parameter is one by which frameworks let a POST be another method.
func overridesMethod(name string) bool {
	return strings.EqualFold(name, "_method") || strings.EqualFold(name, "x-http-method-override")
}

// access is READ or WRITE, as the audit trail has it.
func (c *call) access() string {
	if c.reads() {
		return "READ"
	}
	return "WRITE"
}
