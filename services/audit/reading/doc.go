// Package reading answers what admins and auditors ask of the audit trail.
//
//	GET audit/events   a page of records that match, and where to go on or back
//	GET audit/export   all records that match, as CSV or NDJSON, streamed
//	GET audit/stats    calls by minute, hour or day
//	GET audit/verify   the hash chains, recomputed from the rows
//
// The text of every statement is ours alone; what the caller said are its parameters. A search goes through the
// partitions that can hold what is asked for, newest first unless asked otherwise, and stops after Settings.Budget with
// what it has and a cursor to go on with. So a search that finds nothing in a billion records takes several requests and
// none of them long. Pages are bounded by ids, which become visible in their order: nothing is left out or doubled
// while records are stored.
//
// An export reads page after page, each in a transaction of its own, up to the last record there was when it began: it
// holds up neither vacuum nor retention, and what retention removes meanwhile is not in it. It is in the trail before its
// first byte leaves.
//
//	reading.go  slots, routes           query.go   parameters
//	search.go   pages                   cursor.go  where a search goes on
//	event.go    a record as JSON        export.go  CSV and NDJSON
//	stats.go    counts                  verify.go  the chains
//
// # When something is gone, or wrong
//
//	Postgres away                503; an export waits for it for Settings.Patience, 30 s, and goes on where it was
//	Postgres slow                a statement is given up after Settings.Timeout: what was found by then, or 503
//	too many searches, exports   429 after a second; nobody's search waits for an export
//	export not recorded          503, nothing of it leaves
//	client gone, or too slow     an export is cut off once it took nothing for Settings.Patience; its place is free again
//	export cut                   by that, or by a Postgres that stayed away: the reply ends as a broken transfer, without the
//	                             trailer Gatehouse-Export-Complete of a whole one, and is counted as fault="cut"
//	rows altered, or taken away  verify says which
package reading
