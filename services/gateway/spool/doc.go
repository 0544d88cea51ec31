// Package spool keeps the audit records of a gateway on disk from before a call is made until the audit service says
// that Postgres has them.
//
// A call that is forwarded is written twice: Begin before the node sees it, End when the answer is done. One that is
// answered here is written once, before its answer leaves (End alone). What was written survives kill -9 at once, and a
// loss of power once it was synced, 50 ms later at the most; Await waits for that. A call that takes longer than Open
// ships what was decided on as a record of its own (outcome open), so nothing that runs for hours holds the spool.
// What a process leaves behind is shipped by the next one, and its calls that never ended as interrupted.
//
// Each record has its number, and the hash chain before and behind it, from the moment it is written to one of the files. Numbers begin again with each opening, in an epoch that is later than all before: so
// no number is ever given twice, also when a disk has forgotten what was shipped. Only what was synced is shipped.
//
// A Shipper takes records to the stream AUDIT and cuts the spool below what is committed.
package spool
