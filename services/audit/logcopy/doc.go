// Package logcopy keeps the second copy of the configuration's log and of that of API tokens: every commit, and every sealed
// secret, in the database of the audit trail, from where they can be restored (docs/runbook.md).
//
//	in    streams CONFIG, TOKENS              by shared/eventlog, from where the copy ends
//	      bucket SECRETS                      sealed to introspection, the gateways and the recovery key: opens for nobody here
//	out   audit.in.config-log, .token-log     a record of each commit for the trail: config.committed, token.committed
//	keeps audit.config_log, config_commit     histories of the log, and their commits with the records they make
//	      audit.token_log, token_commit       the same of tokens
//	      audit.sealed_secret                 all values that a key ever had
//
// A commit is stored with its record in one transaction; the record is sent until the trail has it, always the same
// under the same number, which is the commit's sequence. So every commit is in the trail once, whatever is killed and
// however long nobody followed. A history is named by its hashes, not by its stream: a log that is put back into a new
// stream is the same history and goes on; another one is copied beside it, and neither touches the other.
//
//	log.go      which logs there are
//	copy.go     follows one                history.go  which history, and how far
//	record.go   a commit as a record       outbox.go   sends records until the trail has them
//	secrets.go  the bucket                 status.go   how it fares
//
// What happens when something is gone is in the table of package audit; its tests are there too, with real servers.
package logcopy
