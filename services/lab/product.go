package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Product is one Jira or Confluence: nodes that share users, tokens, sessions and
// content. Its methods are controls for tests; all may be used while it serves.
type Product struct {
	kind        string // "jira", "confluence" or "bitbucket"
	contextPath string
	loginPath   string
	cookie      string // of a session
	log         *slog.Logger

	users   *directory
	pats    *patStore
	logins  *sessions // of people who logged in
	passing *sessions // those a call with a password leaves behind
	mux     *http.ServeMux
	files   *files
	// consumers sign calls.
	consumers consumers
	whoAmI    atomic.Uint64

	basicOff atomic.Bool
	sticky   atomic.Bool
	nameless atomic.Bool

	mu     sync.Mutex
	nodes  []*Node
	faults map[string]Fault
	counts map[string]uint64
}

func newProduct(log *slog.Logger, kind, contextPath, loginPath, everybody string) *Product {
	p := &Product{
		kind: kind, contextPath: strings.TrimSuffix(contextPath, "/"), loginPath: loginPath, cookie: "JSESSIONID",
		log:       log.With(slog.String("product", kind)),
		users:     newDirectory(everybody),
		pats:      newPATStore(kind),
		logins:    newSessions(10_000),
		passing:   newSessions(1_000),
		mux:       http.NewServeMux(),
		files:     newFiles(),
		faults:    map[string]Fault{},
		consumers: consumers{known: map[string]consumer{}, nonces: map[string]bool{}},
		counts:    map[string]uint64{},
	}
	for _, user := range []string{"svc-api", "alice", "bob", "carol", "mallory"} {
		p.pats.add(fixedPAT(kind, user), "lab", user, 0)
	}
	return p
}

func (p *Product) addNode(ctx context.Context, addr string) error {
	n := &Node{id: fmt.Sprintf("n%d", len(p.nodes)+1), product: p}
	n.state.Store(StateRunning)
	n.srv = &server{log: p.log, addr: addr, handler: n}
	if err := n.srv.start(ctx); err != nil {
		return fmt.Errorf("node %s: %w", n.id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = append(p.nodes, n)
	return nil
}

// Nodes are the product's nodes, n1 first.
func (p *Product) Nodes() []*Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.nodes)
}

// ContextPath is "" or as in the settings.
func (p *Product) ContextPath() string { return p.contextPath }

// Password is that of a lab user.
func (p *Product) Password(user string) string { return passwordOf(user) }

// PAT is a user's personal access token. It depends on product and user only, so
// a configuration made with one lab fits the next.
func (p *Product) PAT(user string) string { return fixedPAT(p.kind, user) }

// MintPAT makes another token; a lifetime of 0 is for ever, a negative one has expired.
func (p *Product) MintPAT(user string, lifetime time.Duration) string {
	return p.pats.add("", "minted", user, lifetime).raw
}

// RevokePAT makes a token stand for nobody: its calls become anonymous.
func (p *Product) RevokePAT(pat string) { p.pats.revoke(pat) }

// RestorePAT undoes RevokePAT.
func (p *Product) RestorePAT(pat string) { p.pats.restore(pat) }

// AddUser adds an active user who is in these groups and in that of everybody.
func (p *Product) AddUser(name string, groups ...string) {
	p.users.add(name, groups...)
	p.pats.add(p.PAT(name), "lab", name, 0)
}

// SetGroups replaces the groups of a user, that of everybody excepted.
func (p *Product) SetGroups(user string, groups ...string) {
	all := append([]string{p.users.everybody}, groups...)
	p.users.change(user, func(a *account) { a.groups = all })
}

// SetActive switches a user on or off.
func (p *Product) SetActive(user string, active bool) {
	p.users.change(user, func(a *account) { a.active = active })
}

// Nest puts a group into other groups (Confluence groupancestor).
func (p *Product) Nest(group string, parents ...string) {
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	p.users.ancestors[group] = slices.Clone(parents)
}

// ResetCaptcha forgets a user's wrong passwords.
func (p *Product) ResetCaptcha(user string) { p.users.resetCaptcha(user) }

// SetBasicDisabled refuses every Basic call, as products do by default from Jira 11 on.
func (p *Product) SetBasicDisabled(off bool) { p.basicOff.Store(off) }

// SetSessionAffinity makes a session valid only on the node that made it, as in a
// real cluster without a sticky balancer; off by default.
func (p *Product) SetSessionAffinity(on bool) { p.sticky.Store(on) }

// SetUserHeaderHidden leaves X-AUSERNAME off every reply.
func (p *Product) SetUserHeaderHidden(hidden bool) { p.nameless.Store(hidden) }

// SetFault makes every path that begins with prefix fail, on all nodes; the
// context path is not part of it, and the longest prefix counts. The zero Fault heals it.
func (p *Product) SetFault(prefix string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.serve == nil {
		delete(p.faults, prefix)
		return
	}
	p.faults[prefix] = f
}

func (p *Product) faultOf(path string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest, fault := -1, Fault{}
	for prefix, f := range p.faults {
		if strings.HasPrefix(path, prefix) && len(prefix) > longest {
			longest, fault = len(prefix), f
		}
	}
	return fault
}

// Count is the number of requests a user made, on all nodes; "" is anonymous.
// Calls of /status are not requests.
func (p *Product) Count(user string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[user]
}

func (p *Product) counted(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[user]++
}

// Attachments are the files uploaded so far, oldest first.
func (p *Product) Attachments() []Attachment { return p.files.list() }

// PasswordAttempts counts the passwords shown for a user, right or wrong; "" is
// for names nobody has.
func (p *Product) PasswordAttempts(user string) uint64 { return p.users.attemptsOf(user) }

// WhoAmICalls counts who asked the product whom a credential belongs to.
func (p *Product) WhoAmICalls() uint64 { return p.whoAmI.Load() }

// call is a request as a resource sees it.
type call struct {
	identity
	node *Node
	base string // scheme, host and context path links begin with
}

type callKey struct{}

// resource answers for one route.
type resource func(w http.ResponseWriter, r *http.Request, c call)

func (p *Product) route(pattern string, answer resource) {
	p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(callKey{}).(call)
		answer(w, r, c)
	})
}

// loggedIn refuses anonymous calls as the REST framework does.
func loggedIn(answer resource) resource {
	return func(w http.ResponseWriter, r *http.Request, c call) {
		if c.anonymous() {
			unauthorized(w, c.base)
			restMessage(w, http.StatusUnauthorized, "Client must be authenticated to access this resource.")
			return
		}
		answer(w, r, c)
	}
}
