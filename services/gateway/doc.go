// Package gateway is the front: it takes every call of a client, walks it through the policy, and forwards it
// to a node of the product as the user it may act as.
//
// In comes HTTP (8080). pipeline.go is the policy, row by row; each row is a step in a row_*.go file, and all
// of them fill one call, which is recorded once at its end. Judging reads a frozen plan: what the gateway made
// of the configuration's Snapshot, swapped whole per commit. A call keeps the plan it began with.
//
// Out go questions to introspection (identity.v1.*), calls to the nodes (package upstream), one audit record a
// call (audit.in.<gateway>), and a beat a second that says which configuration is in force here.
//
// # When a dependency is gone
//
//	NATS                 known credentials keep working until their cap; new ones get 503 provider_unavailable;
//	                     audit records wait in memory, and when that is full 503 audit_unavailable (or open,
//	                     where the site says so; both are counted); the configuration stays, and after the site's
//	                     stale.max calls get 503 configuration_stale, and a gateway whose sites all do so is not
//	                     ready; a restart goes on from the Snapshot file
//	introspection        as NATS, for new credentials
//	identity provider    503 provider_unavailable for new tokens, never "invalid token"
//	config               nothing: the log is followed without it
//	audit, Postgres      nothing: the stream keeps the records
//	a node               another node is tried when nothing was sent; 502 upstream_unreachable when none is left
//	a node hangs         504 upstream_timeout, the reply timeout after all of the call was sent; bodies have none
//	a client hangs       nothing, until the gateway ends: then it is cut off after the grace, recorded, exit 0
//	upstream credential  502 upstream_identity_mismatch: the product's anonymous answer is not passed on; a password
//	                     the product calls wrong rests then, because it counts them
//	a sealed secret      cannot be fetched: the last configuration stays; cannot be opened: its account answers
//	                     403 no_upstream_account, and readiness says so
//	Snapshot file        altered or of another key: not used, and said; not writable: said, nothing else
//	a fact of a newer kind  the last configuration stays; the beat says blocked
package gateway
