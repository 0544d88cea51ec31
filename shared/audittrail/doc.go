// Package audittrail is what all who write or read the audit trail agree on: what a record may hold (Clean), its
// place in the hash chain of its source (Genesis, Next), and the kinds of record beside calls. Recorder is how
// services other than gateways write to it.
//
// # When something is gone, for a Recorder
//
//	NATS away, slow, no quorum  Record waits as long as its context lets it; the record goes out when NATS is back
//	acknowledgement lost        the same records are sent again under the same id and numbers: nothing is doubled
//	stream full                 as NATS away
//	10,000 records wait         Record fails at once; so it does when what waits has 64 MiB
//	told to end                 what waits goes out, for grace at most; then it is logged and given up
//	process killed              what waits is lost: no Record had said that it is kept. There is no hole in the numbers,
//	                            because the next process has an epoch of its own
package audittrail
