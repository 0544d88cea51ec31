package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// groupRules are the group rules of a site, made ready.
type groupRules struct {
	site              string
	require           bool
	allowed, readOnly map[string]bool // folded
	among             []string        // all of them
	maxAge            time.Duration
	// sessions: browser sessions are bound too.
	sessions bool
	// salt separates what was found for these rules, in this directory, from what was found for others.
	salt string
}

// newGroupRules gives nil for a site without group rules.
func newGroupRules(c *configlog.Site) *groupRules {
	if !c.Groups.Require && len(c.Groups.ReadOnly) == 0 {
		return nil
	}
	g := &groupRules{
		site: c.ID, require: c.Groups.Require, allowed: map[string]bool{}, readOnly: map[string]bool{},
		maxAge: c.Directory.MaxAge.Std(), sessions: c.Sessions.Groups,
	}
	add := func(to map[string]bool, groups []string) {
		for _, name := range groups {
			to[names.Fold(name)] = true
			g.among = append(g.among, name)
		}
	}
	add(g.readOnly, c.Groups.ReadOnly)
	if g.require {
		add(g.allowed, c.Groups.Allowed)
	}
	slices.Sort(g.among)
	g.among = slices.Compact(g.among)
	secret := c.DirectoryCredential()
	text, _ := json.Marshal([]any{ // plain strings always marshal
		c.ID, c.Product, nodeURLs(c), c.ContextPath, c.Directory.Source, c.Directory.URL, c.Directory.Account,
		secret.Key(), secret.Fingerprint, secret.Env, secret.File, c.Groups.Allowed, c.Groups.ReadOnly, g.require,
	})
	sum := sha256.Sum256(text)
	g.salt = hex.EncodeToString(sum[:])
	return g
}

// member is what a user is to a site's group rules, by the word of its directory.
type member struct {
	answeredAt time.Time // by the directory, on this gateway's monotonic clock
	standing   identityv1.GroupsReply_Standing
	groups     []string // those of his groups that a rule names
	allowed    bool
	readOnly   string // the group that makes him read-only; empty: none
	renewal    renewal.Mark
}

// memberKey is a user and the rules he was held against.
type memberKey struct{ salt, user string }

// members asks introspection which groups a user is in and remembers the answer up to the directory's max_age, counted from
// the directory's word. From half of that on a newer one is asked for behind the call's back, so that neither a directory
// nor NATS that is away is noticed until then.
type members struct {
	asks    asking
	timeout time.Duration
	known   *otter.Cache[memberKey, *member]
	flights singleflight.Group
	asked   func(result string)
}

func newMembers(asks asking, s Settings, asked func(string)) (*members, error) {
	known, err := otter.New(&otter.Options[memberKey, *member]{MaximumSize: s.IdentityCache})
	return &members{asks: asks, timeout: s.IdentityTimeout, known: known, asked: asked}, err
}

// of gives what the user of a call is to the site's rules. The error is a fault.
func (m *members) of(c *call, g *groupRules) (*member, error) {
	k := memberKey{g.salt, names.Fold(c.user)}
	if known, ok := m.known.GetIfPresent(k); ok {
		switch age := c.at.Sub(known.answeredAt); {
		case known.standing != identityv1.GroupsReply_STANDING_ACTIVE:
			if age < min(refusedFor, g.maxAge) {
				return known, nil
			}
		case age < g.maxAge:
			if known.renewal.Due(age, g.maxAge, 0.5, c.at) {
				m.start(c, g, k)
			}
			return known, nil
		}
	}
	flight := m.start(c, g, k)
	select {
	case result := <-flight:
		found, _ := result.Val.(*member)
		return found, result.Err
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
}

// start asks once for all calls that want to know the same now. The question outlives the call that began it.
func (m *members) start(c *call, g *groupRules, k memberKey) <-chan singleflight.Result {
	ctx, request := context.WithoutCancel(c.ctx), &identityv1.GroupsRequest{
		Site: g.site, User: c.user, Among: g.among, ConfigSequence: c.plan.state.Seq,
	}
	return m.flights.DoChan(k.salt+k.user, func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, m.timeout)
		defer cancel()
		asked, reply := time.Now(), new(identityv1.GroupsReply)
		if err := m.asks(ctx, topology.Groups, request, reply); err != nil {
			m.asked("failed")
			return nil, err
		}
		found := g.hold(reply, asked)
		if last, ok := m.known.GetIfPresent(k); ok {
			found.renewal.From(&last.renewal)
		}
		if found.standing == identityv1.GroupsReply_STANDING_ACTIVE {
			m.asked("known")
		} else {
			m.asked("unknown")
		}
		m.known.Set(k, found)
		return found, nil
	})
}

// hold holds a directory's word against the rules.
func (g *groupRules) hold(reply *identityv1.GroupsReply, asked time.Time) *member {
	found := &member{answeredAt: asked.Add(-reply.GetAge().AsDuration()), standing: reply.GetStanding(), groups: reply.GetGroups()}
	for _, name := range found.groups {
		folded := names.Fold(name)
		found.allowed = found.allowed || g.allowed[folded]
		if g.readOnly[folded] && found.readOnly == "" {
			found.readOnly = name
		}
	}
	return found
}
