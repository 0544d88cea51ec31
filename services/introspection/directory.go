package introspection

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// directory is where a site's groups are looked up, as one configuration has it.
type directory struct {
	maxAge time.Duration
	// ask is how it is asked; nil when it cannot be, and trouble says why.
	ask     *source
	trouble string
}

// source is how a directory is asked, and how that goes. It lives as long as its revision does, over any number of
// configurations. Two sites never share one.
type source struct {
	site, revision string
	how            lookingUp
	nodes          *upstream // the product's, or Crowd's one
	breaker        *remote.Breaker
	notes          remote.Notes
	restsTo        atomic.Int64 // unix nanoseconds: its account was refused, see refused
	// above are the groups that a group is in, by its name; see ancestors.
	above *otter.Cache[string, *ancestry]
}

// lookingUp is everything that has a part in what a directory answers; its fingerprint is the revision.
type lookingUp struct {
	kind, url string // url only of Crowd
	account   string
	bearer    bool // the value is a token, not a password
	secret    configlog.Secret
	value     string // of the secret
	groups    lookup
}

// lookup finds what a directory knows of a user. It gives no groups of one who is not active.
type lookup func(ctx context.Context, q *query, user string) (standing, []string, *remote.Problem)

// standing is what a user is to a directory.
type standing uint8

const (
	standingUnknown standing = iota + 1
	standingInactive
	standingActive
)

// accountRest is how long a directory is not asked after it refused our password: the products count wrong ones, and
// lock the account out of everything but the browser.
const accountRest = 10 * time.Minute

func (l lookingUp) revision(r revisions, nodes *upstream) string {
	value := l.value
	if l.secret.Ref != "" {
		value = ""
	}
	return r.of(l.kind, l.url, l.account, strconv.FormatBool(l.bearer), nodes.revision,
		l.secret.Key(), l.secret.Fingerprint, l.secret.Env, l.secret.File, value)
}

// ancestry is the groups a group is in, nested ones included, and when the directory said so.
type ancestry struct {
	groups []string
	at     time.Time
}

func newSource(site, revision string, how lookingUp, nodes *upstream, s Settings) *source {
	above, err := otter.New(&otter.Options[string, *ancestry]{MaximumSize: max(s.KnownEntries, 1)})
	if err != nil {
		panic(err) // by constants alone
	}
	return &source{site: site, revision: revision, how: how, nodes: nodes, breaker: remote.NewBreaker(s.Limits), above: above}
}

// apart gives a source like this one, of which nothing comes back.
func (s *source) apart(settings Settings) *source {
	other := newSource(s.site, s.revision, s.how, s.nodes, settings)
	other.restsTo.Store(s.restsTo.Load())
	return other
}

// refused notes that the directory does not take our account.
func (s *source) refused(now time.Time) {
	if !s.how.bearer {
		s.restsTo.Store(now.Add(accountRest).UnixNano())
	}
}

func (s *source) rests(now time.Time) bool { return now.UnixNano() < s.restsTo.Load() }

// query is one look into a directory.
type query struct {
	client *http.Client
	limit  time.Duration // of one request
	source *source
	maxAge time.Duration
	// at is when the oldest part of what was found was said.
	at time.Time
	// node answered last and is asked first: one look is one node's word, as far as it lasts.
	node string
}

// get reads a JSON document below the directory's address into a value, and gives its status: 200 or 404. Whatever else
// a directory answers is a problem, and no word about any user.
func (q *query) get(ctx context.Context, path string, values url.Values, into any) (status int, _ *remote.Problem) {
	target := path
	if len(values) > 0 {
		target += "?" + values.Encode()
	}
	problem := q.source.nodes.each(ctx, q.node, func(n *node) (last bool, p *remote.Problem) {
		status, p = q.getFrom(ctx, n, target, into)
		q.node = n.id
		return false, p
	})
	return status, problem
}

func (q *query) getFrom(ctx context.Context, n *node, target string, into any) (int, *remote.Problem) {
	ctx, cancel := context.WithTimeout(ctx, q.limit)
	defer cancel()
	r, err := http.NewRequestWithContext(witness.To(ctx, "directory "+n.id), http.MethodGet, n.base+target, http.NoBody)
	if err != nil {
		return 0, &remote.Problem{Result: remote.Unreachable, Text: "the directory's address is no URL"}
	}
	remote.SetCommon(r.Header)
	how := q.source.how
	if how.bearer {
		r.Header.Set("Authorization", "Bearer "+how.value)
	} else {
		r.SetBasicAuth(how.account, how.value)
	}
	reply, err := q.client.Do(r) //nolint:bodyclose // remote.Finish closes it
	if err != nil {
		return 0, remote.NotAnswered(ctx, err)
	}
	defer remote.Finish(reply)
	text := "it answers " + strconv.Itoa(reply.StatusCode)
	switch {
	case reply.StatusCode == http.StatusUnauthorized, reply.StatusCode == http.StatusForbidden:
		return 0, &remote.Problem{Result: remote.CredentialsRefused, Text: text + ": it does not take our account, or does not let it see users"}
	case reply.StatusCode >= http.StatusInternalServerError:
		return 0, &remote.Problem{Result: remote.ServerError, Text: text}
	case reply.StatusCode != http.StatusOK && reply.StatusCode != http.StatusNotFound:
		return 0, &remote.Problem{Result: remote.UnexpectedStatus, Text: text}
	case how.kind != sourceCrowd && !servedAs(reply.Header, how.account):
		return 0, &remote.Problem{Result: remote.CredentialsRefused, Text: "it does not serve us as our account"}
	}
	body, p := remote.ReadReply(ctx, reply) // a 404 that is no JSON is somebody's between
	if p != nil {
		return 0, p
	}
	if json.Unmarshal(body, into) != nil {
		return 0, &remote.Problem{Result: remote.Malformed, Text: "the reply is broken JSON"}
	}
	return reply.StatusCode, nil
}

// servedAs tells whether a reply was made for an account: the products serve a bad token as nobody.
func servedAs(h http.Header, account string) bool {
	return h.Get(headerUser) == "" || !isAnonymous(userHeader(h)) && agrees(h, account)
}

// ancestors gives the groups a group is in. Groups change less often than who is in them and are shared by many users, so
// what was said is used for a while; the look that uses it counts as old as it is.
func (q *query) ancestors(group string, ask func() ([]string, *remote.Problem)) ([]string, *remote.Problem) {
	key := names.Fold(group)
	keep := min(q.maxAge/10, time.Minute)
	a, ok := q.source.above.GetIfPresent(key)
	if !ok || time.Since(a.at) >= keep {
		at := time.Now()
		groups, p := ask()
		if p != nil {
			return nil, p
		}
		a = &ancestry{groups: groups, at: at}
		q.source.above.Set(key, a)
	}
	if a.at.Before(q.at) {
		q.at = a.at
	}
	return a.groups, nil
}

// Kinds of source.
const (
	sourceProduct = "product"
	sourceCrowd   = "crowd"
)

// What keeps a directory from being asked.
const (
	troubleAccount = "it has no account"
	troubleGroups  = "how to ask this product for groups is not known"
)

// directory makes ready the directory of a site, on what it was before when nothing about it has changed; nil when no
// rule of the site asks for groups.
func (k *keeper) directory(ctx context.Context, old *index, c *configlog.Site, product *upstream) *directory {
	if !c.NeedsDirectory() {
		return nil
	}
	d := &directory{maxAge: c.Directory.MaxAge.Std()}
	before := old.directory(c.ID)
	how, nodes, cannot := k.lookingUp(ctx, before, c, product)
	if cannot != nil {
		d.trouble = cannot.Trouble
		k.troubled(ctx, "directory", c.ID, before != nil && before.trouble == d.trouble, cannot)
		return d
	}
	if before != nil && before.trouble != "" {
		k.healed(ctx, "directory", c.ID)
	}
	revision := how.revision(k.revisions, nodes)
	if before != nil && before.ask != nil && before.ask.revision == revision {
		d.ask = before.ask
		return d
	}
	d.ask = newSource(c.ID, revision, how, nodes, k.settings)
	return d
}

func (k *keeper) lookingUp(ctx context.Context, before *directory, c *configlog.Site, product *upstream) (lookingUp, *upstream, *provider.Cannot) {
	l := lookingUp{kind: c.Directory.Source, url: c.Directory.URL, account: c.Directory.Account, secret: c.DirectoryCredential()}
	nodes := product
	switch {
	case l.account == "" || l.secret.IsZero():
		return l, nil, &provider.Cannot{Trouble: troubleAccount}
	case l.kind == sourceCrowd:
		l.groups, nodes = crowdGroups, newCrowd(c, k.revisions, k.settings)
	case product == nil || product.product.groups == nil:
		return l, nil, &provider.Cannot{Trouble: troubleGroups}
	default:
		l.groups, l.bearer = product.product.groups, c.Upstream.Driver != "basic"
	}
	var err error
	if before != nil && before.ask != nil && l.secret.Ref != "" && before.ask.how.secret == l.secret {
		l.value = before.ask.how.value // sealed under a key that is never written again
	} else if l.value, err = k.opener.Open(ctx, l.secret); err != nil {
		return l, nil, &provider.Cannot{Trouble: provider.TroubleUnopened, Cause: err}
	}
	return l, nodes, nil
}

// named is a group in a directory's list.
type named struct {
	Name string `json:"name"`
}

// add puts the groups of a list behind others. One without a name is no list that could be trusted.
func add(all []string, list []named) ([]string, *remote.Problem) {
	for _, g := range list {
		if g.Name == "" {
			return nil, noGroups()
		}
		all = append(all, g.Name)
	}
	return all, nil
}

// noGroups is a reply about the right user, in which the groups are missing, or not as they should be.
func noGroups() *remote.Problem {
	return &remote.Problem{Result: remote.Malformed, Text: "the reply is no list of groups"}
}

// union gives names folded, each once, in order.
func union(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, name := range list {
			all = append(all, names.Fold(name))
		}
	}
	slices.SortFunc(all, cmp.Compare)
	return slices.Compact(all)
}
