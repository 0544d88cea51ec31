package introspection

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/maypok86/otter/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// membership is what a directory said of a user, and when. It is shared by all who ask: nobody changes it, but for renewal.
type membership struct {
	standing standing
	groups   []string // folded, in order
	at       time.Time
	renewal  renewal.Mark
}

// memberships answers identity.v1.groups. What a directory has said of an active user is used until the directory's
// max_age and asked for anew from half of that on, behind the back of who asks; so a directory that is away is not
// noticed until then. That there is no such user, or that he is not active, is used for otherTTL.
type memberships struct {
	config         *keeper
	client         *http.Client
	timeout        time.Duration // of one request to the directory
	keys           *keyer
	active, others *otter.Cache[key, *membership]
	otherTTL       time.Duration
	flights        flight.Group[*membership]
	log            *slog.Logger
	tracer         trace.Tracer
	counters       *counters
}

// newMembershipCache counts a user of many groups as several, so that entries bound the memory too, at about 1 KiB each.
func newMembershipCache(entries int) (*otter.Cache[key, *membership], error) {
	c, err := otter.New(&otter.Options[key, *membership]{
		MaximumWeight: uint64(max(entries, 1)),
		Weigher: func(_ key, m *membership) uint32 {
			size := 0
			for _, g := range m.groups {
				size += len(g) + 16
			}
			return 1 + uint32(size/entryUnit)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, nil
}

func (m *memberships) groups(ctx context.Context, r *identityv1.GroupsRequest) (proto.Message, error) {
	x, err := m.config.at(ctx, r.GetConfigSequence())
	if err != nil {
		return nil, err
	}
	s := x.sites[r.GetSite()]
	switch {
	case s == nil:
		return nil, fault.Newf(fault.NotFound, "no site %.64q", r.GetSite())
	case checkName(r.GetUser()) != nil || r.GetUser() == "":
		return &identityv1.GroupsReply{Standing: identityv1.GroupsReply_STANDING_UNKNOWN}, nil // no directory is shown what cannot be a name
	case s.directory == nil:
		return nil, fault.New(fault.Unavailable, "no rule of this site asks for groups")
	case s.directory.ask == nil:
		return nil, fault.New(fault.Unavailable, "the directory cannot be asked: "+s.directory.trouble)
	}
	found, err := m.ask(ctx, s.directory, r.GetUser())
	if err != nil {
		return nil, err
	}
	out := &identityv1.GroupsReply{Age: durationpb.New(max(0, time.Since(found.at)))}
	switch found.standing {
	case standingActive:
		out.Standing = identityv1.GroupsReply_STANDING_ACTIVE
	case standingInactive:
		out.Standing = identityv1.GroupsReply_STANDING_INACTIVE
	case standingUnknown:
		out.Standing = identityv1.GroupsReply_STANDING_UNKNOWN
	}
	for _, g := range r.GetAmong() {
		if _, in := slices.BinarySearch(found.groups, names.Fold(g)); in {
			out.Groups = append(out.Groups, g)
		}
	}
	return out, nil
}

// ask gives a directory's word on a user: from memory, else once for all who ask the same at the same time.
func (m *memberships) ask(ctx context.Context, d *directory, user string) (*membership, error) {
	k := m.keys.of("groups", d.ask.site, d.ask.revision, names.Fold(user))
	now := time.Now()
	look := func(ctx context.Context) (*membership, error) { return m.shared(ctx, d, user, k) }
	if found := m.lookup(k, d, now); found != nil {
		m.counters.looked("groups", true)
		if found.standing == standingActive && found.renewal.Due(now.Sub(found.at), d.maxAge, 0.5, now) {
			m.flights.Start(ctx, k, look)
		}
		return found, nil
	}
	m.counters.looked("groups", false)
	return m.flights.Do(ctx, k, "the directory has not answered yet", look)
}

// lookup gives what may still be used of a user.
func (m *memberships) lookup(k key, d *directory, now time.Time) *membership {
	if found, ok := m.active.GetIfPresent(k); ok && now.Sub(found.at) < d.maxAge {
		return found
	}
	if found, ok := m.others.GetIfPresent(k); ok && now.Sub(found.at) < min(m.otherTTL, d.maxAge) {
		return found
	}
	return nil
}

// keep remembers what was found, and forgets what it contradicts.
func (m *memberships) keep(k key, found *membership) {
	if found.standing == standingActive {
		m.others.Invalidate(k)
		m.active.Set(k, found)
		return
	}
	m.active.Invalidate(k)
	m.others.Set(k, found)
}

// lookTimes is how many requests' time one look may take: some directories are asked several times for one user.
const lookTimes = 3

// shared is the one look of all who ask now.
func (m *memberships) shared(ctx context.Context, d *directory, user string, k key) (*membership, error) {
	if found := m.lookup(k, d, time.Now()); found != nil && time.Since(found.at) < d.maxAge/2 {
		return found, nil // a look that ended between ours and now
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimes*m.timeout)
	defer cancel()
	found, err := m.admitted(ctx, d, user, k)
	if err == nil {
		m.keep(k, found)
	}
	return found, err
}

// admitted looks into the directory, unless it is left alone for now.
func (m *memberships) admitted(ctx context.Context, d *directory, user string, k key) (*membership, error) {
	s, now := d.ask, time.Now()
	if s.rests(now) {
		m.counters.askedDirectory(s, "refused_by_rest", 0)
		return nil, fault.New(fault.Unavailable, "the directory refused our account lately, which is not shown again for a while")
	}
	resting := fault.New(fault.Unavailable, "the directory did not answer lately and is left alone for a while")
	if s.breaker.Refuses(now) {
		m.counters.askedDirectory(s, "refused_by_breaker", 0)
		return nil, resting
	}
	if err := s.nodes.gate.Enter(ctx); err != nil {
		m.counters.askedDirectory(s, "refused_by_limit", 0)
		return nil, fault.Wrap(fault.Unavailable, "the directory is asked too much at once", err)
	}
	defer s.nodes.gate.Leave()
	ok, probe := s.breaker.Admit(time.Now())
	if !ok {
		m.counters.askedDirectory(s, "refused_by_breaker", 0)
		return nil, resting
	}
	r := remote.Unknown
	defer func() { s.breaker.Settle(k, r, probe, time.Now()) }()
	found, became, problem := m.look(ctx, d, user)
	r = became.Reach()
	if problem != nil {
		if became == remote.CredentialsRefused {
			s.refused(time.Now())
		}
		return nil, fault.Wrap(fault.Unavailable, "the directory gave no answer: "+problem.Text, problem)
	}
	return found, nil
}

// look is one look into a directory, with its span, its metrics and its line in the log.
func (m *memberships) look(ctx context.Context, d *directory, user string) (*membership, remote.Result, *remote.Problem) {
	s := d.ask
	ctx, span := m.tracer.Start(ctx, "groups at directory", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("site", s.site)))
	defer span.End()
	began := time.Now()
	q := &query{client: m.client, limit: m.timeout, source: s, maxAge: d.maxAge, at: began}
	standing, groups, problem := s.how.groups(ctx, q, user)
	if problem == nil && len(groups) > maxGroups {
		problem = remote.TooLarge()
	}
	became := remote.Active
	switch {
	case problem != nil:
		became = problem.Result
	case standing != standingActive:
		became = remote.Inactive
	}
	m.counters.askedDirectory(s, string(became), time.Since(began))
	span.SetAttributes(attribute.String("result", string(became)))
	m.note(ctx, s, became, problem)
	if problem != nil {
		span.SetStatus(codes.Error, problem.Text)
		return nil, became, problem
	}
	return &membership{standing: standing, groups: groups, at: q.at}, became, nil
}

// maxGroups bounds what is kept of one user.
const maxGroups = 10_000

func (m *memberships) note(ctx context.Context, s *source, r remote.Result, p *remote.Problem) {
	worth, healed := s.notes.Worth(r, time.Now())
	if !worth {
		return
	}
	attrs := []slog.Attr{slog.String("site", s.site), slog.String("result", string(r))}
	if healed {
		m.log.LogAttrs(ctx, slog.LevelInfo, "directory answers again", attrs...)
		return
	}
	m.log.LogAttrs(ctx, slog.LevelWarn, "directory gave no answer", append(attrs, slog.String("problem", p.Text))...)
}
