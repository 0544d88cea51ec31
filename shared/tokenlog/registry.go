package tokenlog

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
)

// Registry is every API token. Finding one takes no lock and allocates nothing, however many there are and whatever is changed
// meanwhile; one goroutine at a time changes it. The zero Registry is empty.
//
// What is published never changes. It has two parts, so that a change copies little: the many, and what came since they were
// last put together.
type Registry struct {
	current atomic.Pointer[published]

	fresh map[ID]*Token     // folded and not published yet
	texts map[string]string // owners and sites, each once
}

type published struct{ all, since map[ID]*Token }

// leastMerge is how many changes are kept apart before all tokens are copied into one map again; more, where there are many.
const leastMerge = 1024

// Find gives the token of a SHA-256, good or not; nil: nobody has issued it.
func (r *Registry) Find(d opaque.Digest) *Token {
	if t := r.Lookup(IDOf(d)); t != nil && t.is(&d) {
		return t
	}
	return nil
}

// Lookup gives the token of an id; nil: there is none.
func (r *Registry) Lookup(id ID) *Token {
	p := r.current.Load()
	if p == nil {
		return nil
	}
	if t := p.since[id]; t != nil {
		return t
	}
	return p.all[id]
}

// All gives every token as of now, in no order.
func (r *Registry) All() iter.Seq[*Token] {
	p := r.current.Load()
	return func(yield func(*Token) bool) {
		if p == nil {
			return
		}
		for _, t := range p.since {
			if !yield(t) {
				return
			}
		}
		for id, t := range p.all {
			if p.since[id] == nil && !yield(t) {
				return
			}
		}
	}
}

// Fold applies the facts of one commit, stored at a time: all of them, or none and an error. It believes the log; what it refuses
// is what no valid log holds. What is folded is found once it is published.
func (r *Registry) Fold(facts []proto.Message, at time.Time) error {
	changed := make(map[ID]*Token, len(facts))
	for _, fact := range facts {
		t, err := r.folded(fact, at, changed)
		if err != nil {
			return fmt.Errorf("%s: %w", factlog.TypeOf(fact), err)
		}
		changed[t.ID()] = t
	}
	if r.fresh == nil {
		r.fresh = map[ID]*Token{}
	}
	maps.Copy(r.fresh, changed)
	return nil
}

// folded gives the token as it is after a fact.
func (r *Registry) folded(fact proto.Message, at time.Time, before map[ID]*Token) (*Token, error) {
	latest := func(id ID) *Token {
		for _, m := range [...]map[ID]*Token{before, r.fresh} {
			if t := m[id]; t != nil {
				return t
			}
		}
		return r.Lookup(id)
	}
	switch m := fact.(type) {
	case *tokenv1.TokenIssued:
		t, err := r.issued(m, at)
		if err == nil && latest(t.ID()) != nil {
			err = fmt.Errorf("%s is issued twice", t.ID())
		}
		return t, err
	case *tokenv1.TokenRevoked:
		t := latest(ID(m.GetId()))
		if t == nil {
			return nil, fmt.Errorf("%s was never issued", ID(m.GetId()))
		}
		if t.RevokedAt == 0 {
			revoked := *t
			revoked.RevokedAt = at.Unix()
			t = &revoked
		}
		return t, nil
	default:
		return nil, &factlog.UnknownFactError{Type: string(fact.ProtoReflect().Descriptor().FullName())}
	}
}

func (r *Registry) issued(m *tokenv1.TokenIssued, at time.Time) (*Token, error) {
	t := &Token{
		Name: strings.Clone(m.GetName()), Owner: r.once(m.GetOwner()), Site: r.once(m.GetSite()), IssuedAt: at.Unix(), ReadOnly: m.GetReadOnly(),
	}
	if copy(t.SHA256[:], m.GetSha256()) != len(t.SHA256) || len(m.GetSha256()) != len(t.SHA256) {
		return nil, errors.New("sha256 has not 32 bytes")
	}
	if m.GetExpiresAt() != nil {
		if err := m.GetExpiresAt().CheckValid(); err != nil {
			return nil, fmt.Errorf("expires_at: %w", err)
		}
		t.ExpiresAt = m.GetExpiresAt().AsTime().Unix()
	}
	var ranges []netip.Prefix
	for _, text := range m.GetRanges() {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("ranges: %w", err)
		}
		ranges = append(ranges, p)
	}
	if len(ranges) > 0 {
		t.Ranges = &ranges
	}
	return t, nil
}

// once gives one text for all that are equal.
func (r *Registry) once(text string) string {
	if known, ok := r.texts[text]; ok {
		return known
	}
	if r.texts == nil {
		r.texts = map[string]string{}
	}
	text = strings.Clone(text)
	r.texts[text] = text
	return text
}

// Publish has what was folded be found.
func (r *Registry) Publish() {
	p := r.current.Load()
	switch {
	case p == nil:
		p = &published{all: r.fresh}
	case len(r.fresh) == 0:
		return
	case len(p.since)+len(r.fresh) > max(leastMerge, len(p.all)/64):
		all := make(map[ID]*Token, len(p.all)+len(p.since)+len(r.fresh))
		for _, m := range [...]map[ID]*Token{p.all, p.since, r.fresh} {
			maps.Copy(all, m)
		}
		p = &published{all: all}
	case len(p.since) > 0:
		since := make(map[ID]*Token, len(p.since)+len(r.fresh))
		maps.Copy(since, p.since)
		maps.Copy(since, r.fresh)
		p = &published{all: p.all, since: since}
	default:
		p = &published{all: p.all, since: r.fresh}
	}
	r.current.Store(p)
	r.fresh = nil
}
