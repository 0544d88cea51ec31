package audit

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// query is what a search asks for.
type query struct {
	from, to  time.Time // zero: no bound; from is included, to is not
	where     []condition
	ascending bool
	limit     int
	after     int64    // the id to go on behind, in the order of the search; 0: from its beginning
	search    [8]byte  // fingerprint of all that may not change from page to page
	problems  problems // what was wrong with the parameters
}

// condition is a part of a WHERE clause: an expression of ours with one value of the caller's.
type condition struct {
	sql   string // with %s for the value's placeholder
	value any
}

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxValue     = 4096 // bytes of a parameter: the longest text there is
)

type problems []fault.Problem

func (p *problems) add(parameter, format string, args ...any) {
	*p = append(*p, fault.Problem{Path: parameter, Message: fmt.Sprintf(format, args...)})
}

// parseQuery reads the parameters of a search. The error is a fault that names every parameter that is wrong. One
// that is not known is wrong too: a search that silently ignores half of what was asked misleads.
func parseQuery(values url.Values) (query, error) {
	q := query{limit: defaultLimit}
	known := parameters()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parse, ok := known[name]
		value := values[name][0]
		switch {
		case !ok:
			q.problems.add(name, "there is no such parameter")
		case len(values[name]) > 1:
			q.problems.add(name, "it may be given once")
		case len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			q.problems.add(name, "it must be UTF-8 without U+0000, of at most %d bytes", maxValue)
		case value != "":
			parse(&q, value)
		}
	}
	if !q.from.IsZero() && !q.to.IsZero() && !q.from.Before(q.to) {
		q.problems.add("to", "it must be later than from")
	}
	q.search = fingerprint(values)
	if len(q.problems) == 0 && values.Get("cursor") != "" {
		q.goOn(values.Get("cursor"))
	}
	if len(q.problems) > 0 {
		return query{}, fault.Newf(fault.Invalid, "bad parameter %s: %s", q.problems[0].Path, q.problems[0].Message).
			WithProblems(q.problems...)
	}
	return q, nil
}

// parameters are the parameters of a search, each with what it does to a query.
func parameters() map[string]func(*query, string) {
	all := map[string]func(*query, string){
		"from":   func(q *query, value string) { q.time("from", value, &q.from) },
		"to":     func(q *query, value string) { q.time("to", value, &q.to) },
		"limit":  (*query).setLimit,
		"order":  (*query).setOrder,
		"cursor": func(*query, string) {}, // when all others are known
		"status": (*query).setStatus, "client_ip": (*query).setClientIP,
	}
	for name, column := range map[string]string{
		"site": "site", "user": `"user"`, "client_id": "client_id", "reason": "reason", "decision": "decision",
		"request_id": "request_id", "gateway": "gateway", "node": "node", "method": "method", "credential": "credential",
		"provider": "provider", "observed": "observed", "outcome": "outcome", "trace_id": "trace_id", "kind": "kind",
	} {
		all[name] = func(q *query, value string) { q.where = append(q.where, condition{column + " = %s", value}) }
	}
	return all
}

func (q *query) time(name, value string, to *time.Time) {
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil || at.Year() < 1 {
		q.problems.add(name, "it must be a time such as 2026-01-31T12:00:00Z (RFC 3339); + is written %%2B")
		return
	}
	*to = at
}

func (q *query) setLimit(value string) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxLimit {
		q.problems.add("limit", "it must be a number from 1 to %d", maxLimit)
		return
	}
	q.limit = n
}

func (q *query) setOrder(value string) {
	if value != "asc" && value != "desc" {
		q.problems.add("order", "it must be asc or desc")
		return
	}
	q.ascending = value == "asc"
}

func (q *query) setStatus(value string) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 0 {
		q.problems.add("status", "it must be a number")
		return
	}
	q.where = append(q.where, condition{"status = %s", n})
}

func (q *query) setClientIP(value string) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(value); err == nil && addr.Zone() == "" {
			prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
	}
	if !prefix.IsValid() {
		q.problems.add("client_ip", "it must be an address or a range such as 10.0.0.0/8")
		return
	}
	q.where = append(q.where, condition{"client_ip <<= %s::inet", prefix.Masked().String()})
}

func (q *query) goOn(cursor string) {
	at, err := decodeCursor(cursor)
	switch {
	case err != nil:
		q.problems.add("cursor", "%s", err.Error())
	case at.search != q.search:
		q.problems.add("cursor", "it belongs to another search: all other parameters but limit must stay as they were")
	default:
		q.after = at.id
	}
}

// fingerprint tells searches apart by all parameters but those that may change from page to page.
func fingerprint(values url.Values) (sum [8]byte) {
	same := url.Values{}
	for name, value := range values {
		if name != "cursor" && name != "limit" && value[0] != "" {
			same[name] = value
		}
	}
	if same.Get("order") == "desc" {
		same.Del("order")
	}
	whole := sha256.Sum256([]byte(same.Encode()))
	copy(sum[:], whole[:])
	return sum
}
