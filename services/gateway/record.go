package gateway

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// Outcomes of a call.
const (
	completed   = "completed"
	interrupted = "interrupted"
)

// recorded tells whether the site wants this call in its audit trail.
func (c *call) recorded() bool {
	if c.site == nil {
		return true // nobody's call: kept, because somebody tried
	}
	audit := c.site.config.Audit
	return audit.Enabled && (audit.Pages || (c.answer.reason != notAPI && c.answer.reason != disabled))
}

// begin records what was decided, before the node sees the call; false when it must not see it.
func (c *call) begin() bool {
	if !c.recorded() {
		return true
	}
	r := c.record()
	err := c.gw.spool.Begin(&c.entry, r)
	c.gw.records.put(r)
	return c.durable(err)
}

// keep records a call that is answered here, before its answer leaves; false when it must not be answered so.
func (c *call) keep() bool {
	if c.kept || !c.recorded() || c.unrecorded {
		return true
	}
	c.kept = true
	return c.durable(c.end())
}

// end records how a call ended.
func (c *call) end() error {
	r := c.record()
	defer c.gw.records.put(r)
	return c.gw.spool.End(&c.entry, r)
}

// durable waits, where the site wants it, until no loss of power can take away what was written. It tells whether the
// call may go on.
func (c *call) durable(err error) bool {
	if err == nil && c.site != nil && c.site.config.Audit.Sync == "always" {
		err = c.gw.spool.Await(c.ctx, &c.entry)
	}
	if err == nil {
		return true
	}
	c.unrecorded = true
	return c.site != nil && c.site.config.Audit.WhenUnavailable == "allow"
}

// records are records that can be filled again.
type records struct{ free sync.Pool } // of *auditv1.Record

func newRecords() *records {
	return &records{free: sync.Pool{New: func() any { return new(auditv1.Record) }}}
}

func (p *records) get() *auditv1.Record {
	r, _ := p.free.Get().(*auditv1.Record)
	r.Reset()
	return r
}

func (p *records) put(r *auditv1.Record) { p.free.Put(r) }

// record is what the audit trail keeps of a call, as far as it has come.
func (c *call) record() *auditv1.Record {
	if c.caller.text == "" { // refused before its site was known
		c.locate()
	}
	r := c.gw.records.get()
	r.Time = uint64(c.at.UnixNano())
	r.RequestId, r.Node, r.TraceId = c.id, c.node, c.traceID
	r.Credential, r.Provider, r.ClientId = string(cmp.Or(c.cred.kind, kindNone)), c.provider, c.clientID
	r.CredentialFingerprint, r.User = c.fingerprint, c.user
	if c.cred.kind == kindToken {
		r.TokenId = c.fingerprint
	}
	r.Decision, r.Reason, r.Detail, r.Outcome = c.decision(), string(c.answer.reason), c.answer.detail, c.outcome
	r.Observed, r.Groups = string(c.observed), c.groups
	r.Method, r.Path, r.Query, r.Access = c.r.Method, c.target.Path, redactQuery(c.target.Query), c.access()
	r.Status, r.BytesOut = uint32(c.status), uint64(c.bytesOut) //nolint:gosec // 100 to 999; never negative
	r.Duration = uint64(time.Since(c.at))                       //nolint:gosec // monotonic
	r.UpstreamDuration = uint64(max(c.upstream, 0))
	r.ClientIp, r.ClientIpSource, r.UserAgent = c.caller.text, c.caller.source, c.r.UserAgent()
	if r.Path == "" {
		r.Path = withoutParameters(c.r.URL.Path) // refused as ambiguous: what net/http made of it
	}
	if c.plan != nil {
		r.ConfigVersion = c.plan.state.Seq
	}
	if c.site != nil {
		r.Site = c.site.config.ID
	}
	if c.received != nil {
		r.BytesIn = c.received.n.Load()
	}
	return r
}

// withoutParameters cuts `;…` from each segment of a path: a session id may be in it.
func withoutParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// redactQuery takes the values of secrets out of a query.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	return rules.FilterQuery(query, secretQuery)
}

// newRequestID gives 32 hex digits that no other call has.
func newRequestID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64()) //nolint:gosec // unique, not secret
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64()) //nolint:gosec // unique, not secret
	return hex.EncodeToString(raw[:])
}
