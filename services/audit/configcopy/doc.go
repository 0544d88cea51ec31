// Package configcopy keeps the second copy of the configuration: every commit of the log and every sealed secret, in the
// database of the audit trail, from where the configuration can be restored (docs/runbook.md).
//
//	in    stream CONFIG                       by shared/eventlog, from where the copy ends
//	      bucket SECRETS                      sealed to introspection, the gateways and the recovery key: opens for nobody here
//	out   audit.in.config-log                 a record of each commit for the trail, audittrail.ConfigCommitted
//	keeps audit.config_log, config_commit     histories of the log, and their commits with the records they make
//	      audit.sealed_secret                 all values that a key ever had
//
// A commit is stored with its record in one transaction; the record is sent until the trail has it, always the same
// under the same number, which is the commit's sequence. So every commit is in the trail once, whatever is killed and
// however long nobody followed. A history is named by its hashes, not by its stream: a log that is put back into a new
// stream is the same history and goes on; another one is copied beside it, and neither touches the other.
//
//	copy.go     follows the log            history.go  which history, and how far
//	record.go   a commit as a record       outbox.go   sends records until the trail has them
//	secrets.go  the bucket                 status.go   how it fares
//
// What happens when something is gone is in the table of package audit; its tests are there too, with real servers.
package configcopy
