package reading

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
	after     int64    // the id to go on behind; 0: from the beginning
	upTo      int64    // the last id that is looked at; 0: no bound
	back      bool     // go on the other way, to the page before
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
		case slices.ContainsFunc(values[name], unfit):
			q.problems.add(name, "it must be UTF-8 without U+0000, of at most %d bytes", maxValue)
		case parse.any != nil:
			parse.any(&q, slices.DeleteFunc(slices.Clone(values[name]), func(v string) bool { return v == "" }))
		case len(values[name]) > 1:
			q.problems.add(name, "it may be given once")
		case value != "":
			parse.one(&q, value)
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

func unfit(value string) bool {
	return len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0)
}

// parameter is what a parameter does to a query: one that may be given once, or any that may be given several times,
// which is any of them.
type parameter struct {
	one func(*query, string)
	any func(*query, []string)
}

// parameters are the parameters of a search.
func parameters() map[string]parameter {
	all := map[string]parameter{
		"from":      {one: func(q *query, value string) { q.time("from", value, &q.from) }},
		"to":        {one: func(q *query, value string) { q.time("to", value, &q.to) }},
		"limit":     {one: (*query).setLimit},
		"order":     {one: (*query).setOrder},
		"cursor":    {one: func(*query, string) {}}, // when all others are known
		"status":    {any: (*query).setStatus},
		"client_ip": {any: (*query).setClientIP},
		"group":     {any: func(q *query, values []string) { q.filter("groups && %s", values) }},
		"path_prefix": {any: func(q *query, values []string) {
			q.filter("EXISTS (SELECT FROM unnest(%s::text[]) AS x WHERE starts_with(path, x))", values)
		}},
		"min_duration": {one: (*query).setMinDuration},
	}
	for name, column := range textColumns() {
		all[name] = parameter{any: func(q *query, values []string) { q.filter(column+" = ANY (%s)", values) }}
	}
	for _, name := range []string{"config_version", "epoch", "n"} {
		all[name] = parameter{any: func(q *query, values []string) { q.numbers(name, values) }}
	}
	return all
}

// textColumns are the columns that are searched for by what stands in them, by the name of the parameter.
func textColumns() map[string]string {
	all := map[string]string{"user": `"user"`}
	for _, name := range []string{
		"site", "client_id", "reason", "decision", "request_id", "gateway", "node", "method", "credential", "provider", "observed", "outcome",
		"trace_id", "kind", "access", "token_id", "credential_fingerprint", "client_ip_source", "path", "query", "user_agent", "detail",
	} {
		all[name] = name
	}
	return all
}

// filter adds a condition on one of several values; without any it is none.
func (q *query) filter(sql string, values []string) {
	if len(values) > 0 {
		q.where = append(q.where, condition{sql, values})
	}
}

func (q *query) numbers(name string, values []string) {
	var all []int64
	for _, value := range values {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			q.problems.add(name, "it must be a number")
			return
		}
		all = append(all, n)
	}
	if len(all) > 0 {
		q.where = append(q.where, condition{name + " = ANY (%s)", all})
	}
}

func (q *query) setMinDuration(value string) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		q.problems.add("min_duration", "it must be a length of time such as 500ms or 2s")
		return
	}
	q.where = append(q.where, condition{"duration_ns >= %s", d.Nanoseconds()})
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

// setStatus takes numbers, classes such as 5xx, and ranges such as 400-499.
func (q *query) setStatus(values []string) {
	var low, high []int64
	for _, value := range values {
		first, last, ok := statuses(value)
		if !ok {
			q.problems.add("status", "it must be a number, a class such as 5xx, or a range such as 400-499")
			return
		}
		low, high = append(low, first), append(high, last)
	}
	if len(low) > 0 {
		q.where = append(q.where, condition{"EXISTS (SELECT FROM unnest(%s::bigint[], %s::bigint[]) AS x (low, high) WHERE status BETWEEN low AND high)", pair{low, high}})
	}
}

// pair is a value that takes two places.
type pair struct{ first, second any }

func statuses(value string) (low, high int64, ok bool) {
	if class, isClass := strings.CutSuffix(value, "xx"); isClass && len(class) == 1 && class[0] >= '1' && class[0] <= '9' {
		low = int64(class[0]-'0') * 100
		return low, low + 99, true
	}
	from, to, isRange := strings.Cut(value, "-")
	if !isRange {
		to = from
	}
	low, err := strconv.ParseInt(from, 10, 32)
	high, err2 := strconv.ParseInt(to, 10, 32)
	return low, high, err == nil && err2 == nil && low >= 0 && low <= high
}

func (q *query) setClientIP(values []string) {
	var all []string
	for _, value := range values {
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
		all = append(all, prefix.Masked().String())
	}
	q.filter("client_ip <<= ANY (%s::inet[])", all)
}

func (q *query) goOn(cursor string) {
	at, err := decodeCursor(cursor)
	switch {
	case err != nil:
		q.problems.add("cursor", "%s", err.Error())
	case at.search != q.search:
		q.problems.add("cursor", "it belongs to another search: all other parameters but limit must stay as they were")
	default:
		q.after, q.back = at.id, at.back
	}
}

// fingerprint tells searches apart by all parameters but those that may change from page to page.
func fingerprint(values url.Values) (sum [8]byte) {
	same := url.Values{}
	for name, value := range values {
		if given := slices.DeleteFunc(slices.Clone(value), func(v string) bool { return v == "" }); name != "cursor" && name != "limit" && len(given) > 0 {
			slices.Sort(given)
			same[name] = given
		}
	}
	if same.Get("order") == "desc" {
		same.Del("order")
	}
	whole := sha256.Sum256([]byte(same.Encode()))
	copy(sum[:], whole[:])
	return sum
}
