// Package gateway is the front: it takes every call of a client, walks it through the policy, and forwards it
// to a node of the product as the user it may act as.
//
// In comes HTTP (8080). pipeline.go is the policy, row by row; each row is a step in a row_*.go file, and all
// of them fill one call, which is recorded once at its end. Judging reads a frozen plan: what the gateway made
// of the configuration's Snapshot, swapped whole per commit. A call keeps the plan it began with.
//
// Beside calls it answers two others: people who sign in for a token (signin.go, package pages), and config, which wants to
// know what would become of a call (gateway.v1.trial, trial.go).
//
// Out go questions to introspection (identity.v1.*), calls to the nodes (package upstream), one audit record a
// call (audit.in.<gateway>, by way of package spool), and a beat a second that says which configuration is in force here.
//
// # When a dependency is gone
//
//	NATS                 known credentials keep working until their cap; new ones get 503 provider_unavailable;
//	                     audit records wait in the spool; the configuration stays, and after the site's stale.max
//	                     calls get 503 configuration_stale, and a gateway whose sites all do so is not ready; a
//	                     restart goes on from the Snapshot file and the spool
//	                     API tokens are known as far as they were read, until stale.max, and not after a restart: 503
//	                     configuration_stale
//	introspection        as NATS, for new credentials, and for sessions where a rule wants to know whose they are
//	                     people who sign in are told 503 on the page, and so is who has a credential tried
//	directory            its last word about a user until the site's directory.max_age, then 503 directory_unavailable
//	identity provider    503 provider_unavailable for new tokens, never "invalid token"; tokens in use were asked about
//	                     before their time was over, so they hold for at least a tenth of cache.max_ttl
//	a flood of guesses   429 too_many_unknown for the address, but for credentials known here; nobody is asked
//	config               nothing: the log is followed without it
//	audit, Postgres      nothing: the stream and the spool keep the records
//	stream TOKENS lost   what was read holds; config writes it again; otherwise as NATS, for API tokens only
//	stream AUDIT full    the records wait in the spool, as with NATS away
//	stream AUDIT lost    what was not committed is sent again: the audit service asks for it
//	the spool is full, or  503 audit_unavailable, or open where the site says so: both are counted, and a gateway none
//	its disk refuses     of whose sites takes calls is not ready; goes on by itself. Calls that had begun go on, and
//	                     their records are written when there is room
//	the spool is damaged  set aside, and said; a new one is begun; --ship-spool ships what can be read of it
//	this process killed  every call that had an answer or was shown to a node has its record; those that had not ended
//	                     are recorded as interrupted by the next process
//	power lost           as killed, but for the last 50 ms, and for nothing where the site has audit.sync: always
//	told to end          not ready; takes no more, what runs (tunnels too) goes on for the grace; ships everything, and waits until it is committed as long as the audit service says what is
//	the certificate's files  are gone, or do not fit: the last pair stays, and that is logged; at the start: it does not start
//	a node               another node is tried when nothing was sent, or the call changes nothing and has no body; 502
//	                     upstream_unreachable when none is left; one that comes back gets its share by and by
//	a node hangs         504 upstream_timeout, the reply timeout after all of the call was sent; bodies have none
//	a client hangs       in a head: cut off after 10 s; in a body: 400 body_malformed after GATEHOUSE_BODY_TIMEOUT; in a
//	                     reply: nothing, until the gateway ends: then it is cut off after the grace, recorded, exit 0
//	upstream credential  502 upstream_identity_mismatch: the product's anonymous answer is not passed on; a password
//	                     the product calls wrong rests then, because it counts them
//	a sealed secret      cannot be fetched: the last configuration stays; cannot be opened: its account answers
//	                     403 no_upstream_account, and readiness says so
//	Snapshot file        altered or of another key: not used, and said; not writable: said, nothing else
//	a fact of a newer kind  the last configuration stays; the beat says blocked
package gateway
