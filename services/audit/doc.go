// Package audit keeps the audit trail: it moves the batches that gateways publish to stream AUDIT into Postgres, tells
// the gateways what is there for good, and answers searches.
//
//	in    stream AUDIT, audit.in.<gateway>             audit.v1.Batch: records of one gateway, numbered without a gap
//	      stream CONFIG, bucket SECRETS                every commit and every sealed secret, for the second copy
//	out   audit.committed.<gateway>                    audit.v1.Committed: up to which number all is kept
//	      audit.in.audit                               who signs in here and who is refused (adminauth.Journal)
//	      audit.in.config-log                          a record of each commit, by way of the stream like all others
//	      GET /api/v1/audit/events, export, …          what admins and auditors read: see package reading
//	      /api/v1/audit/retention, audit/holds         how long it is kept, and what is kept longer: see package retention
//	keeps Postgres, schema audit; view audit.events    one row a call, audit.actions what is none (the SQL is in migrations)
//	      audit.stat                                   calls by minute, counted when their outcome is stored
//	      audit.config_commit, audit.sealed_secret     the second copy of the configuration, to restore it from
//
// Nothing is missing and nothing is there twice, because the rows and the place in the stream they came from are one
// transaction: one consumer at a time (an advisory lock) reads the stream from that place, and a transaction that
// finds the place moved by another is given up. What comes again is known by its numbers, and held against what is
// there. Messages are purged from the stream once they are committed.
//
// Records behind a hole in the numbers are taken at once; the hole is noted, the gateway is asked for it as often as
// it is told its mark, and the mark stays before it until it is filled or the gateway says that it no longer has it.
// Ids are dense and become visible in their order: who goes on behind the last id misses nothing.
//
// Texts are stored as they came but for U+0000 (stored as ␀), bytes that are no UTF-8 (each stored as U+FFFD) and what
// is longer than its limit (see audittrail.Clean; it ends with …). Times are kept to the microsecond.
//
// The active consumer keeps the second copy of the configuration too: see package logcopy. What is older, or more,
// than the configuration allows is removed by package retention; the last section of its doc.go says what happens when
// something is gone meanwhile.
//
// # When something is gone, or wrong
//
//	NATS away, at start       not ready until the stream was reached once; searches are answered
//	NATS away, later          stays ready: searches are answered; health says so; goes on when it is back
//	stream missing            as NATS away
//	Postgres away, at start   runs, is not ready, says so; migrates and begins when it is there
//	Postgres killed or hangs  not ready, searches 503; the stream keeps everything; lag grows; goes on by itself
//	Postgres slow             what comes while a transaction commits goes with the next one; searches end after 5 s
//	Postgres restarted        as killed
//	Postgres out of disk      as killed, but searches are answered; goes on by itself once there is room
//	Postgres read-only        (a failover) as out of disk
//	schema of an older version brought up to date first, with all that is in it; a newer one: see postgres.Migrate
//	this process killed       the transaction never was; the next process goes on from the cursor
//	told to end               commits what the stream holds, for 5 s at most, and ends; the rest is for the next process
//	second consumer           stands by, ready for searches; takes over within a second
//	two active after all      (a pooler that shares sessions) the cursor's lock lets one commit; the other starts anew
//	batch again, overlapping  what is there is dropped, and the mark is told again
//	same numbers, other calls the first is in the trail, the other kept in audit.conflict with the first one's id, logged,
//	                          counted: one of the two is forged, or its gateway lost its numbering
//	hole in the numbers       see above; audit.hole, open_holes, lost_holes
//	message is no batch       kept once as it came in audit.rejected with the reason, logged, counted; goes on
//	row refused by Postgres   its message is found by halves and rejected alone
//	stream made anew          read from its first message under a new cursor; what is there already is dropped
//	stream restored (older)   read from its first message under the same cursor, also when it has grown beyond it since:
//	                          it no longer has the message that was committed last (audit.cursor, last_hash)
//	stream seems restored     not read for 12 s, in which it is asked again: a lagging leader sets no cursor back
//	messages gone from it     logged, counted, gone around; they show as holes and are asked for
//	search slow, or too many  503 after 5 s a statement, 429; ingest has connections of its own
//	configuration log away    known admins stay; at start only the first admin can search, others get 503; nothing is
//	                          copied, config_copy in health says so, calls go on
//	copy behind (Postgres     config_copy_lag counts the commits; made up for when it is back; nothing else can make it
//	away, or nobody active)   lag
//	log of tokens away        it is not copied, token_copy in health says so; the rows below hold for it too, but that nobody
//	                          is asked for what its stream no longer has: config writes it again
//	configuration log damaged what the stream no longer has is asked of config, held against the chain and copied
//	log cut, or made anew     the copy stays as it is and waits for the log to hold all of it again
//	log holds another history logged; copied beside the old one, its commits behind what both share are recorded
//	commit of a newer version copied as it is, recorded with the types of its facts; one that is no commit too
//	bucket of secrets away    commits are copied and recorded, health says that secrets are not
//	sign-in not recorded      NATS away: searches are answered all the same, after 500 ms; recorded when it is back
//	record of a commit lost   (AUDIT made anew) sent again from the database after a minute
package audit
