package reading

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/jackc/pgx/v5"
)

const (
	verifyRuns    = 200     // read at once
	verifyRecords = 100_000 // looked at by one request
	verifyFaults  = 100     // listed by one request; there may be more
)

// Verified is what a request has found out. The trail is whole when every page says ok up to one without a next.
type Verified struct {
	OK      bool  `json:"ok"` // no faults on this page
	Runs    int64 `json:"runs"`
	Records int64 `json:"records"`
	// Unchained counts records that came without a chain, from a gateway of an older version.
	Unchained int64    `json:"unchained"`
	Faults    []Fault  `json:"faults"`
	Removed   []Range  `json:"removed"` // by retention: what follows can be verified, and begins there
	Heads     []Anchor `json:"heads"`   // the ends of chains that were come across: kept elsewhere, they show that a chain was not made anew
	Next      string   `json:"next"`
}

// Range is records of a gateway and an epoch.
type Range struct {
	Gateway string `json:"gateway"`
	Epoch   int64  `json:"epoch,string"`
	First   int64  `json:"first_n"`
	Last    int64  `json:"last_n"`
}

// Fault is a range and what is wrong with it: altered (the records are not those that were chained), incomplete (some
// of the rows are not there), not_linked (the chain does not go on from the record before), missing (no record has these numbers),
// unknown_epoch (the trail does not know of the epoch).
type Fault struct {
	Range
	What string `json:"what"`
}

// Anchor is the hash behind a record.
type Anchor struct {
	Gateway string `json:"gateway"`
	Epoch   int64  `json:"epoch,string"`
	N       int64  `json:"n"`
	Hash    string `json:"hash"`
}

// link is a row of audit.run: some records that follow each other, with the chain before and behind them.
type link struct {
	Range
	firstID    int64
	prev, hash []byte // nil: not chained
}

// place is where a verification goes on: behind a record.
type place struct {
	Gateway string `json:"g"`
	Epoch   int64  `json:"e"`
	N       int64  `json:"n"`
	Only    string `json:"o,omitempty"` // the gateway that is asked for
}

// verify recomputes the hash chains from the rows.
func (a *Reader) verify(r *http.Request) (any, error) {
	from, err := parsePlace(r)
	if err != nil {
		return nil, err
	}
	v := Verified{Faults: []Fault{}, Removed: []Range{}, Heads: []Anchor{}}
	ctx, cancel := context.WithTimeout(r.Context(), a.Budget+2*a.Timeout)
	defer cancel()
	err = pgx.BeginTxFunc(ctx, a.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = '2s'; SET LOCAL plan_cache_mode = force_custom_plan;
			SET LOCAL max_parallel_workers_per_gather = 0`, a.Timeout.Milliseconds())); err != nil {
			return err
		}
		return v.walk(ctx, tx, from, time.Now().Add(a.Budget))
	})
	v.OK = len(v.Faults) == 0
	return v, unavailable(err)
}

func parsePlace(r *http.Request) (place, error) {
	values, err := parameterValues(r)
	if err != nil {
		return place{}, err
	}
	var p place
	var problems problems
	for name, value := range values {
		switch {
		case name == "gateway" && len(value) == 1 && !unfit(value[0]):
			p.Only = value[0]
		case name == "cursor" && len(value) == 1:
		default:
			problems.add(name, "there is no such parameter, or it is not as it can be")
		}
	}
	if text := values.Get("cursor"); text != "" && len(problems) == 0 {
		at, err := decodePlace(text)
		if err != nil || at.Only != p.Only {
			problems.add("cursor", "%s", errCursor)
		}
		p = at
	}
	if len(problems) > 0 {
		return place{}, fault.Newf(fault.Invalid, "bad parameter %s: %s", problems[0].Path, problems[0].Message).WithProblems(problems...)
	}
	return p, nil
}

func (p place) encode() string {
	text, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(text, checksum(text)...))
}

func decodePlace(text string) (p place, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) <= cursorSum || json.Unmarshal(raw[:len(raw)-cursorSum], &p) != nil || p.encode() != text {
		return place{}, errCursor
	}
	return p, nil
}

// walk verifies runs behind a place, until the time is up or there are none.
func (v *Verified) walk(ctx context.Context, tx pgx.Tx, at place, until time.Time) error {
	before, err := lastBefore(ctx, tx, at)
	if err != nil {
		return err
	}
	for {
		links, err := nextLinks(ctx, tx, at)
		if err != nil {
			return err
		}
		for i := range links {
			l := &links[i]
			if v.Records > 0 && (v.Records+l.Last-l.First >= verifyRecords || len(v.Faults) >= verifyFaults || time.Now().After(until)) {
				v.Next = at.encode()
				return nil
			}
			if err := v.link(ctx, tx, before, l); err != nil {
				return err
			}
			if err := v.records(ctx, tx, l); err != nil {
				return err
			}
			at.Gateway, at.Epoch, at.N, before = l.Gateway, l.Epoch, l.Last, l
		}
		if len(links) < verifyRuns {
			if err := v.end(ctx, tx, before); err != nil {
				return err
			}
			return v.vanished(ctx, tx, at.Only)
		}
	}
}

const selectLinks = `SELECT gateway, epoch, first_n, last_n, first_id, prev_hash, hash FROM audit.run`

func scanLink(row pgx.CollectableRow) (l link, err error) {
	err = row.Scan(&l.Gateway, &l.Epoch, &l.First, &l.Last, &l.firstID, &l.prev, &l.hash)
	return l, err
}

func nextLinks(ctx context.Context, tx pgx.Tx, at place) ([]link, error) {
	rows, err := tx.Query(ctx, selectLinks+` WHERE (gateway, epoch, last_n) > ($1, $2, $3) AND ($4 = '' OR gateway = $4) ORDER BY gateway, epoch, last_n LIMIT $5`,
		at.Gateway, at.Epoch, at.N, at.Only, verifyRuns)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanLink)
}

// lastBefore gives the run that a place is behind; nil: there is none any more.
func lastBefore(ctx context.Context, tx pgx.Tx, at place) (*link, error) {
	rows, err := tx.Query(ctx, selectLinks+` WHERE gateway = $1 AND epoch = $2 AND last_n = $3`, at.Gateway, at.Epoch, at.N)
	if err != nil {
		return nil, err
	}
	l, err := pgx.CollectOneRow(rows, scanLink)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &l, err
}

// link holds the beginning of a run against the end of the one before it.
func (v *Verified) link(ctx context.Context, tx pgx.Tx, before, l *link) error {
	sameEpoch := before != nil && before.Gateway == l.Gateway && before.Epoch == l.Epoch
	expected := int64(1)
	if sameEpoch {
		expected = before.Last + 1
	} else if err := v.end(ctx, tx, before); err != nil {
		return err
	}
	switch {
	case l.First > expected:
		return v.gap(ctx, tx, before, Range{l.Gateway, l.Epoch, expected, l.First - 1})
	case l.prev == nil:
		return nil
	case sameEpoch:
		if before.hash != nil && string(before.hash) != string(l.prev) {
			v.fault(l.Range, "not_linked")
		}
		return nil
	}
	// The first of an epoch follows the last of the epoch before, if that is still there.
	var end []byte
	if before != nil && before.Gateway == l.Gateway {
		end = before.hash
	}
	genesis := audittrail.Genesis(toHash(end), l.Gateway, uint64(l.Epoch)) //nolint:gosec // below 2^63
	if string(genesis[:]) == string(l.prev) {
		return nil
	}
	if end == nil {
		v.Removed = append(v.Removed, Range{l.Gateway, l.Epoch, 0, 0}) // the epochs before
		return nil
	}
	v.fault(l.Range, "not_linked")
	return nil
}

// gap finds out why numbers have no record. Retention can have removed them only if a run was about records as new as
// the one before them, or as the start of their epoch.
func (v *Verified) gap(ctx context.Context, tx pgx.Tx, before *link, r Range) error {
	var since *time.Time
	var id int64
	if before != nil && before.Gateway == r.Gateway && before.Epoch == r.Epoch {
		id = before.firstID + before.Last - before.First
	}
	var removed bool
	err := tx.QueryRow(ctx, `SELECT time FROM audit.call WHERE id = $1`, id).Scan(&since)
	if errors.Is(err, pgx.ErrNoRows) {
		start := time.Unix(0, r.Epoch).UTC() // an epoch is called by when it began
		since, err = &start, nil
	}
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM audit.retention_run WHERE records > 0 AND (before > $5 OR up_to > $6))
			AND NOT EXISTS (SELECT FROM audit.hole WHERE gateway = $1 AND epoch = $2 AND first_n <= $4 AND last_n >= $3)`,
			r.Gateway, r.Epoch, r.First, r.Last, since, id).Scan(&removed)
	}
	if err != nil {
		return err
	}
	old, err := withoutRun(ctx, tx, r)
	switch {
	case err != nil:
		return err
	case old == r.Last-r.First+1:
		v.Records, v.Unchained = v.Records+old, v.Unchained+old
	case removed:
		v.Removed = append(v.Removed, r)
	default:
		v.fault(r, "missing")
	}
	return nil
}

// withoutRun counts records that a version has stored which did not note where they are yet: they come before all that
// it is noted of.
func withoutRun(ctx context.Context, tx pgx.Tx, r Range) (n int64, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*) FROM audit.call WHERE id < (SELECT min(first_id) FROM audit.run)
		AND gateway = $1 AND epoch = $2 AND n BETWEEN $3 AND $4`, r.Gateway, r.Epoch, r.First, r.Last).Scan(&n)
	return n, err
}

func (v *Verified) fault(r Range, what string) { v.Faults = append(v.Faults, Fault{r, what}) }

// end notes the end of an epoch's chain, and holds it against how far the epoch is known to have gone.
func (v *Verified) end(ctx context.Context, tx pgx.Tx, l *link) error {
	if l == nil {
		return nil
	}
	if l.hash != nil {
		v.Heads = append(v.Heads, Anchor{l.Gateway, l.Epoch, l.Last, hex.EncodeToString(l.hash)})
	}
	var last int64
	err := tx.QueryRow(ctx, `SELECT last_n FROM audit.source WHERE gateway = $1 AND epoch = $2`, l.Gateway, l.Epoch).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		v.fault(l.Range, "unknown_epoch")
		return nil
	}
	if err == nil && last > l.Last {
		err = v.gap(ctx, tx, l, Range{l.Gateway, l.Epoch, l.Last + 1, last})
	}
	return err
}

// vanished looks for epochs of which nothing is left.
func (v *Verified) vanished(ctx context.Context, tx pgx.Tx, only string) error {
	rows, err := tx.Query(ctx, `SELECT gateway, epoch, last_n FROM audit.source s WHERE ($1 = '' OR gateway = $1) AND last_n > 0
		AND NOT EXISTS (SELECT FROM audit.run r WHERE r.gateway = s.gateway AND r.epoch = s.epoch) ORDER BY gateway, epoch`, only)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Range, err error) {
		r.First = 1
		err = row.Scan(&r.Gateway, &r.Epoch, &r.Last)
		return r, err
	})
	for _, r := range all {
		if err == nil {
			err = v.gap(ctx, tx, nil, r)
		}
	}
	return err
}

// records recomputes the chain of a run from its rows.
func (v *Verified) records(ctx context.Context, tx pgx.Tx, l *link) error {
	v.Runs++
	count := l.Last - l.First + 1
	rows, err := tx.Query(ctx, selectRecords+` WHERE id BETWEEN $1 AND $2 ORDER BY id`, l.firstID, l.firstID+count-1)
	if err != nil {
		return err
	}
	at, n, fits := toHash(l.prev), int64(0), true
	var s stored
	_, err = pgx.ForEachRow(rows, s.targets(), func() error {
		fits = fits && s.id == l.firstID+n && s.gateway == l.Gateway && s.epoch == l.Epoch && s.n == l.First+n
		n++
		encoded, err := audittrail.Encode(nil, s.record())
		at = audittrail.Next(at, encoded)
		return err
	})
	if err != nil {
		return err
	}
	v.Records += n
	switch {
	case n < count:
		v.fault(l.Range, "incomplete")
	case l.hash == nil && fits:
		v.Unchained += n
	case !fits || string(at[:]) != string(l.hash):
		v.fault(l.Range, "altered")
	}
	return nil
}

func toHash(b []byte) (h audittrail.Hash) {
	copy(h[:], b)
	return h
}

// stored is a row of audit.call.
type stored struct {
	id, epoch, n int64
	gateway      string
	time         time.Time
	opened       int64
	version      int64
	in, out      int64
	took, waited int64
	status       int32
	ip           *netip.Prefix
	texts        [22]string
	groups       []string
	change       *string
}

const selectRecords = `SELECT id, epoch, n, gateway, time, opened, config_version, bytes_in, bytes_out, duration_ns, upstream_duration_ns, status, client_ip,
	request_id, site, node, credential, provider, client_id, credential_fingerprint, username, decision, reason, detail, observed, outcome,
	method, path, query, user_agent, trace_id, kind, access, client_ip_source, token_id, groups, change::text FROM audit.call`

func (s *stored) targets() []any {
	all := []any{&s.id, &s.epoch, &s.n, &s.gateway, &s.time, &s.opened, &s.version, &s.in, &s.out, &s.took, &s.waited, &s.status, &s.ip}
	for i := range 22 {
		all = append(all, &s.texts[i])
	}
	return append(all, &s.groups, &s.change)
}

// record is what the gateway sent, by what is stored of it.
func (s *stored) record() *auditv1.Record {
	t := s.texts
	r := &auditv1.Record{
		Time: uint64(s.time.UnixNano()), Opened: uint64(s.opened), ConfigVersion: uint64(s.version), //nolint:gosec // never negative
		BytesIn: uint64(s.in), BytesOut: uint64(s.out), Duration: uint64(s.took), UpstreamDuration: uint64(s.waited), Status: uint32(s.status), //nolint:gosec // never negative
		RequestId: t[0], Site: t[1], Node: t[2], Credential: t[3], Provider: t[4], ClientId: t[5], CredentialFingerprint: t[6], User: t[7],
		Decision: t[8], Reason: t[9], Detail: t[10], Observed: t[11], Outcome: t[12], Method: t[13], Path: t[14], Query: t[15], UserAgent: t[16],
		TraceId: t[17], Kind: t[18], Access: t[19], ClientIpSource: t[20], TokenId: t[21], Groups: s.groups,
	}
	if r.GetKind() == "call" {
		r.Kind = "" // as on the wire
	}
	if s.ip != nil {
		r.ClientIp = s.ip.Addr().String()
	}
	if s.change != nil {
		r.Change = *s.change
	}
	return r
}
