package tokens

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Wanted is a token somebody asks for.
type Wanted struct {
	Name  string `json:"name"`
	Owner string `json:"owner"`
	Site  string `json:"site"`
	// ExpiresIn of 0 means the site's max_lifetime.
	ExpiresIn configlog.Duration `json:"expires_in"`
	ReadOnly  bool               `json:"read_only"`
	IP        []string           `json:"ip"`
}

// Issued is a token that was issued, and the token itself, this once.
type Issued struct {
	Token *tokenlog.Token
	Text  string
	State eventlog.State // of the token log
}

const (
	maxName   = 100 // characters
	maxUser   = 255 // bytes, as the products have it
	maxRanges = 50
	leastLife = time.Minute
)

// Problems tells what cannot be of a token at a site; site is nil when there is none of that id.
func (w *Wanted) Problems(site *configlog.Site) []fault.Problem {
	var all []fault.Problem
	problem := func(path, message string) { all = append(all, fault.Problem{Path: path, Message: message}) }
	if n := utf8.RuneCountInString(w.Name); n == 0 || n > maxName || !utf8.ValidString(w.Name) || !printable(w.Name) {
		problem("name", "must be 1 to 100 characters on one line: what its owner calls it")
	}
	if w.Owner == "" || len(w.Owner) > maxUser || !utf8.ValidString(w.Owner) || !printable(w.Owner) {
		problem("owner", "must be the name of the user it acts as")
	}
	for i, text := range w.IP {
		if _, err := prefix(text); err != nil || i >= maxRanges {
			problem("ip["+strconv.Itoa(i)+"]", "must be an address or a range such as 10.0.0.0/8, and one of 50 at most")
		}
	}
	if site == nil {
		problem("site", "there is no site of this id")
		return all
	}
	if w.Owner != "" && !actsAs(site, w.Owner) {
		problem("owner", "is no account of the site's upstream.accounts: driver "+site.Upstream.Driver+" cannot act as this user")
	}
	longest := site.Tokens.MaxLifetime.Std()
	switch life := w.ExpiresIn.Std(); {
	case life < 0, life > 0 && life < leastLife:
		problem("expires_in", "must be 1m or longer; absent: as long as the site allows")
	case longest > 0 && life > longest:
		problem("expires_in", "must be "+site.Tokens.MaxLifetime.String()+" or shorter: the site's tokens.max_lifetime")
	case life > 100*365*24*time.Hour:
		problem("expires_in", "must be 36500d or shorter")
	}
	return all
}

// errMapped is of a range that no address is in: callers' are unmapped.
var errMapped = errors.New("an IPv4 range is written as one")

func printable(s string) bool {
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// prefix reads an address, or a range of them.
func prefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() {
		err = errMapped
	}
	return p.Masked(), err
}

// actsAs tells whether calls can be made as a user at a site: nobody has a token that opens nothing.
func actsAs(site *configlog.Site, user string) bool {
	if site.Upstream.Driver == "oauth1-2loi" {
		return true
	}
	for account := range site.Upstream.Accounts {
		if names.Same(account, user) {
			return true
		}
	}
	return false
}

// Issue issues a token that has no Problems.
func (d *Desk) Issue(ctx context.Context, by By, w *Wanted, site *configlog.Site) (*Issued, error) {
	text := opaque.New(tokenlog.Prefix)
	sum := opaque.Hash(text)
	fact := &tokenv1.TokenIssued{Sha256: sum[:], Name: w.Name, Owner: w.Owner, Site: w.Site, ReadOnly: w.ReadOnly}
	life := w.ExpiresIn.Std()
	if life == 0 {
		life = site.Tokens.MaxLifetime.Std()
	}
	if life > 0 {
		fact.ExpiresAt = timestamppb.New(time.Now().Add(life))
	}
	for _, text := range w.IP {
		p, err := prefix(text)
		if err != nil {
			return nil, err
		}
		fact.Ranges = append(fact.Ranges, p.String())
	}
	at, err := d.decide(ctx, by, func() ([]proto.Message, error) {
		if d.follower.Registry.Lookup(tokenlog.IDOf(sum)) != nil { // one in 2^64 for each token there is
			return nil, fault.New(fault.Unavailable, "the token drawn has the id of another: try again")
		}
		if most := int(site.Tokens.MaxPerUser); most > 0 && d.good(w.Site, w.Owner, time.Now()) >= most {
			return nil, fault.Newf(fault.Conflict, "%.100s has %d tokens at this site already, which is the site's tokens.max_per_user: revoke one first", w.Owner, most)
		}
		return []proto.Message{fact}, nil
	})
	if err != nil {
		return nil, err
	}
	return &Issued{Token: d.follower.Registry.Find(sum), Text: text, State: at}, nil
}

// good counts the tokens of an owner that open something.
func (d *Desk) good(site, user string, now time.Time) int {
	n := 0
	for _, t := range d.of(site, user) {
		if t.Standing(now) == tokenlog.Good {
			n++
		}
	}
	return n
}

// of gives every token an owner was issued at a site.
func (d *Desk) of(site, user string) []*tokenlog.Token {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []*tokenlog.Token
	for _, id := range d.owners[ownerOf(site, user)] {
		if t := d.follower.Registry.Lookup(id); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// Get gives a token, or a fault when there is none.
func (d *Desk) Get(id tokenlog.ID) (*tokenlog.Token, error) {
	if _, ok := d.follower.State(); !ok {
		return nil, fault.New(fault.Unavailable, "the log of tokens is not read yet: "+d.follower.Status().Trouble)
	}
	if t := d.follower.Registry.Lookup(id); t != nil {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "there is no token of this id")
}

// Revoke has a token open nothing any more. One that is revoked already stays so.
func (d *Desk) Revoke(ctx context.Context, by By, id tokenlog.ID) (*tokenlog.Token, eventlog.State, error) {
	at, err := d.decide(ctx, by, func() ([]proto.Message, error) {
		t, err := d.Get(id)
		if err != nil || t.RevokedAt != 0 {
			return nil, err
		}
		return []proto.Message{&tokenv1.TokenRevoked{Id: uint64(id)}}, nil
	})
	if err != nil {
		return nil, at, err
	}
	return d.follower.Registry.Lookup(id), at, nil
}
