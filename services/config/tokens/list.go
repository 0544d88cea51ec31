package tokens

import (
	"cmp"
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
)

// Filter says which tokens are wanted; what is empty filters nothing.
type Filter struct {
	Site, Owner string
	Standing    tokenlog.Standing
	// Before goes on behind a token of the page before; 0: from the latest on.
	Before tokenlog.ID
	Limit  int
}

// List gives tokens, the latest first, and whether there are more.
func (d *Desk) List(f Filter, now time.Time) (page []*tokenlog.Token, more bool, err error) {
	if _, ok := d.follower.State(); !ok {
		return nil, false, fault.New(fault.Unavailable, "the log of tokens is not read yet: "+d.follower.Status().Trouble)
	}
	var all []*tokenlog.Token
	for t := range d.follower.Registry.All() {
		if (f.Site == "" || t.Site == f.Site) && (f.Owner == "" || names.Same(t.Owner, f.Owner)) && (f.Standing == "" || t.Standing(now) == f.Standing) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, later)
	if last := d.follower.Registry.Lookup(f.Before); f.Before != 0 {
		if last == nil {
			return nil, false, fault.New(fault.Invalid, "cursor is none of this list")
		}
		at, found := slices.BinarySearchFunc(all, last, later)
		if found {
			at++
		}
		all = all[at:]
	}
	if len(all) > f.Limit {
		return all[:f.Limit], true, nil
	}
	return all, false, nil
}

// later orders tokens, those issued last first.
func later(a, b *tokenlog.Token) int {
	return cmp.Or(cmp.Compare(b.IssuedAt, a.IssuedAt), cmp.Compare(a.ID(), b.ID()))
}
