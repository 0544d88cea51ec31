package topology

import (
	"strconv"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// Names of streams and buckets.
const (
	StreamConfig   = "CONFIG"
	StreamTokens   = "TOKENS"
	StreamAudit    = "AUDIT"
	StreamRate     = "RATE"
	BucketSecrets  = "SECRETS"
	BucketGateways = "GATEWAYS"
)

// Subjects of requests and of live messages.
const (
	// ConfigReadLog is answered by config: commits by sequence, for a follower whose stream is damaged.
	ConfigReadLog = "config.v1.readlog"
	// Introspect, WhoAmI and Groups are answered by introspection; Trial is one of these questions, and how the answer came about.
	Introspect = "identity.v1.introspect"
	WhoAmI     = "identity.v1.whoami"
	Groups     = "identity.v1.groups"
	// Authorize and Exchange begin and end the sign-in of a person.
	Authorize = "identity.v1.authorize"
	Exchange  = "identity.v1.exchange"
	Trial     = "identity.v1.trial"
	// Draft makes a draft that a Trial may be about; only config asks it.
	Draft = "identity.v1.draft"
	// CallTrial is answered by a gateway: what would become of a call.
	CallTrial = "gateway.v1.trial"
	// Reserve is answered by ratelimit.
	Reserve = "ratelimit.v1.reserve"
	// AuditCommitted is told by the audit service to one gateway, whose id follows the dot.
	AuditCommitted = "audit.committed"
)

// Queue groups: one instance of a service answers each request.
const (
	QueueConfig        = "config"
	QueueIntrospection = "introspection"
	QueueRateLimit     = "ratelimit"
	QueueGateway       = "gateway"
)

// ConfigLog says where the configuration log is stored.
func ConfigLog() eventlog.Stream {
	return eventlog.Stream{Name: StreamConfig, Subject: "log.config", Live: "live.config"}
}

// TokenLog says where the log of API tokens is stored.
func TokenLog() eventlog.Stream {
	return eventlog.Stream{Name: StreamTokens, Subject: "log.tokens", Live: "live.tokens"}
}

// Names that stand in the audit trail where a gateway's id does, for what no gateway writes; see audittrail.FromLog.
const (
	AuditFromLog      = "config-log"
	AuditFromTokenLog = "token-log"
	AuditFromConfig   = "config"
	AuditFromAudit    = "audit"
)

// AuditIn is the subject a gateway, or one of the names above, publishes its audit batches on.
func AuditIn(gateway string) string { return "audit.in." + gateway }

// GatewayBeat is the subject a gateway says on how it is; "*" for all of them.
func GatewayBeat(gateway string) string { return "gateways.v1.beat." + gateway }

// RateCounter is the subject of the tickets of one window of one key.
func RateCounter(key string, window time.Duration, number int64) string {
	return "rate.t." + key + "." + strconv.FormatInt(int64(window/time.Second), 10) + "." + strconv.FormatInt(number, 10)
}
