package audittrail

import "github.com/gatehouse-suite/gatehouse/shared/topology"

// Kinds of record beside calls, which have none. The text is part of the trail: it never changes, and a new meaning
// is a new one.
const (
	// GatewayStarted and GatewayStopped bound an epoch of a gateway; one without the second was killed.
	GatewayStarted = "gateway.started"
	GatewayStopped = "gateway.stopped"
	// SpoolShipped is the end of the epochs in a spool that was shipped by hand.
	SpoolShipped = "gateway.spool_shipped"
	// ConfigCommitted is a commit of the configuration log; change lists its facts.
	ConfigCommitted = "config.committed"
	// TokenCommitted is a commit of the log of API tokens: issued and revoked ones; change lists its facts.
	TokenCommitted = "token.committed"
	// AdminSignedIn is an admin's token that was taken, AdminRefused one that was not, or not for what was asked.
	AdminSignedIn = "admin.signed_in"
	AdminRefused  = "admin.refused"
	// CredentialTried is a credential that an admin had tried at a site; change has what was tried and what became of it.
	CredentialTried = "admin.credential_tried" //nolint:gosec // a kind, no credential
	// AuditExported is an export of the trail; change has what was asked for.
	AuditExported = "audit.exported"
	// RetentionRun is a run of the retention; change has what went. HoldSet and HoldLifted are legal holds.
	RetentionRun = "audit.retention_run"
	HoldSet      = "audit.hold_set"
	HoldLifted   = "audit.hold_lifted"
)

// Names that stand in the trail where a gateway's id does, for what no gateway writes. No gateway may have one.
const (
	// FromLog are commits of the configuration log: the epoch is when the log was made, the number the commit's.
	FromLog = topology.AuditFromLog
	// FromTokenLog are commits of the log of API tokens, likewise.
	FromTokenLog = topology.AuditFromTokenLog
	// FromConfig and FromAudit are the services of that name: an epoch a process.
	FromConfig = topology.AuditFromConfig
	FromAudit  = topology.AuditFromAudit
)

// Reserved tells whether a name is taken, so that no gateway may have it.
func Reserved(name string) bool { return topology.Reserved(name) }
