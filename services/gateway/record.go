package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// record is what the audit trail keeps of a call.
func (c *call) record(a answer, now time.Time) *auditv1.Record {
	r := &auditv1.Record{
		Time:      uint64(c.at.UnixNano()),
		RequestId: c.id, ConfigVersion: c.plan.state.Seq, Node: c.node,
		Credential: string(c.cred.kind), Provider: c.provider, ClientId: text(c.clientID),
		CredentialFingerprint: c.fingerprint, User: text(c.user),
		Decision: a.decision(), Reason: string(a.reason), Detail: text(a.detail), Outcome: c.outcome,
		Method: text(c.r.Method), Path: text(c.target.Path),
		Query:            text(redactQuery(c.target.Query)),
		Status:           uint32(c.status),      //nolint:gosec // 100 to 999
		BytesOut:         uint64(c.bytesOut),    //nolint:gosec // never negative
		Duration:         uint64(now.Sub(c.at)), //nolint:gosec // monotonic
		UpstreamDuration: uint64(max(c.upstream, 0)),
		ClientIp:         c.clientIP(), UserAgent: text(c.r.UserAgent()), TraceId: c.traceID,
	}
	if r.Credential == "" {
		r.Credential = string(kindNone)
	}
	if r.Path == "" {
		r.Path = text(withoutParameters(c.r.URL.Path)) // refused as ambiguous: what net/http made of it
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

// maxText is how much of what a stranger sent is kept of each field, in bytes: a batch must fit into a NATS message.
const maxText = 2 << 10

// text makes what a stranger sent fit for a protobuf string: UTF-8, and of bounded length; what was cut ends in an
// ellipsis.
func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
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
