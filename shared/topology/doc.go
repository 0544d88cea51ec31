// Package topology is every stream, bucket and subject of Gatehouse with its limits, in one place, and what
// each service may do with them. Nothing else in the suite spells a subject.
//
// Ensure makes what is missing and mends limits that differ; it never deletes. Rights are granted by exact
// name, never by $JS.> (see the failure tables of the services for what happens when a stream is gone).
//
//	stream   subjects         holds                                    storage, limits
//	CONFIG   log.config       configuration commits                    file, deny delete and purge, no age limit
//	TOKENS   log.tokens       API tokens                               file, deny delete and purge, no age limit
//	AUDIT    audit.in.*       audit batches on their way to Postgres   file, discard new, 4 GiB or what there is
//	RATE     rate.t.>         rate tickets                             memory, counters, one message a subject
//	SECRETS  KV bucket        sealed secrets, never overwritten        file, history 1
//	GATEWAYS KV bucket        which gateways there are                 file, history 1, entries expire
package topology
