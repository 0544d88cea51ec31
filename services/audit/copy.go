package audit

import (
	"cmp"
	"math"
	"net/netip"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
)

// columns are those of audit.call, in the order of rows.Values.
func columns() []string {
	return []string{
		"id", "time", "epoch", "n", "opened", "config_version", "bytes_in", "bytes_out", "duration_ns",
		"upstream_duration_ns", "status", "client_ip", "gateway", "request_id", "site", "node", "credential", "provider",
		"client_id", "credential_fingerprint", "username", "decision", "reason", "detail", "observed", "outcome",
		"method", "path", "query", "user_agent", "trace_id", "kind", "access", "client_ip_source", "token_id", "groups", "change",
	}
}

// rows are records on their way into audit.call, with ids from first on.
type rows struct {
	first int64 // the first row's id
	count int64
	runs  []run

	given     int64 // rows
	run, next int   // what Values gives next
	values    []any
}

// run is some records of one batch, the first of which has number n.
type run struct {
	sourceKey
	n       uint64
	records []*auditv1.Record
	// The chain before the first and behind the last; nil: not chained.
	prevHash, hash []byte
}

// kindCall is what a call is in the database; in a record it is no kind.
const kindCall = "call"

// Next and Values and Err make rows a pgx.CopyFromSource.
func (r *rows) Next() bool {
	for r.run < len(r.runs) && r.next == len(r.runs[r.run].records) {
		r.run, r.next = r.run+1, 0
	}
	return r.run < len(r.runs)
}

// Values gives the next row. The slice is used again for the one after it.
func (r *rows) Values() ([]any, error) {
	of := &r.runs[r.run]
	r.values = rowOf(r.values[:0], of, r.next, r.first+r.given)
	r.given++
	r.next++
	return r.values, nil
}

// rowOf appends the i-th record of a run as the row with this id, in the order of columns.
func rowOf(values []any, of *run, i int, id int64) []any {
	c := of.records[i]
	return append(values,
		id, callTime(c), small(of.epoch), small(of.n)+int64(i), replaces(of, i), small(c.GetConfigVersion()),
		small(c.GetBytesIn()), small(c.GetBytesOut()), small(c.GetDuration()),
		small(c.GetUpstreamDuration()), int32(min(c.GetStatus(), math.MaxInt32)),
		clientIP(c), of.gateway, c.GetRequestId(), c.GetSite(), c.GetNode(), c.GetCredential(), c.GetProvider(),
		c.GetClientId(), c.GetCredentialFingerprint(), c.GetUser(), c.GetDecision(), c.GetReason(), c.GetDetail(), c.GetObserved(), c.GetOutcome(),
		c.GetMethod(), c.GetPath(), c.GetQuery(), c.GetUserAgent(), c.GetTraceId(),
		cmp.Or(c.GetKind(), kindCall), c.GetAccess(), c.GetClientIpSource(), c.GetTokenId(), some(c.GetGroups()), changeOrNull(c.GetChange()),
	)
}

// some is a list as Postgres has it: NULL for none costs nothing.
func some(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

// change is a JSON that most records do not have.
type change string

func changeOrNull(text string) any {
	if text == "" {
		return nil
	}
	return change(text)
}

// Err never says anything: all rows are in memory.
func (r *rows) Err() error { return nil }

// callTime is when a call began; Postgres keeps microseconds.
func callTime(c *auditv1.Record) time.Time { return time.Unix(0, small(c.GetTime())).UTC() }

// replaces is the number of the record that the i-th of a run takes the place of; 0: none.
func replaces(of *run, i int) int64 {
	if opened := of.records[i].GetOpened(); opened < of.n+uint64(i) { //nolint:gosec // an index
		return small(opened)
	}
	return 0 // of the future: nonsense
}

// clientIP is nil when there is none; what is no address was moved away by audittrail.Clean.
func clientIP(c *auditv1.Record) any {
	if addr, err := netip.ParseAddr(c.GetClientIp()); err == nil {
		return addr
	}
	return nil
}

// small gives a number as Postgres stores it. What does not fit is nonsense, and becomes the largest that does.
func small(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
