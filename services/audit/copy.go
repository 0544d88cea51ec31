package audit

import (
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
		"method", "path", "query", "user_agent", "trace_id",
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
}

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
	)
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

// clientIP is nil when there is none; what is no address was moved away by cleanRecord.
func clientIP(c *auditv1.Record) any {
	if addr, err := netip.ParseAddr(c.GetClientIp()); err == nil {
		return addr
	}
	return nil
}
