// Package retention keeps the audit trail as long as asked, and no longer.
//
// A run removes what is older than so many days, and what is more than so many entries, as the configuration says
// (audit.retention); 0 is without that bound. It begins every so often, or when an admin asks. Runs of records, the
// pieces of a gateway's hash chain, go whole or not at all: what stays can be verified. So up to a few hundred records
// stay that are due, until the rest of theirs is.
//
// A partition of audit.call of which everything is due is detached and dropped; the edge of what is due is removed in
// small steps. Nobody waits for either for longer than a moment: every lock that others could wait for is given up after
// 200 ms and tried again, and DETACH … CONCURRENTLY waits without one.
//
// A hold keeps what matches it, with the runs it is in, and the partitions these are in; setting one and removing
// records exclude each other, so that a hold keeps whatever was still there when it was answered.
//
// What a run does it notes in the transaction that does it; the state of a partition is in audit.part before each
// step. Whatever ends a run, the next one finishes what it had begun, or puts back what is no longer due. What was done
// is told to the trail from audit.unrecorded, until the trail has taken it: at least once, with the same request id.
//
//	keeper.go   when a run is made        run.go       one run, from its lock to its outcome
//	due.go      what is due               judge.go     which runs of records go
//	drop.go     partitions, whole         trim.go      the edge, in steps
//	hold.go     legal holds               rehearse.go  what a run would do
//	locks.go    how nobody waits          tell.go      what the trail is told
//	api.go      what is asked over HTTP   meters.go    metrics
//
// # When something is gone, or wrong
//
//	Postgres away             no run; tried again every second, later every 5 minutes; holds 503; health says so
//	killed in a run           the next run goes on; the one that was is ended as interrupted, with what it had done
//	two instances             one run at a time, by an advisory lock of its own; asked for at the other one: 409
//	configuration not known   nothing is removed until it is
//	a long transaction        (a report, a dump) holds partitions: they stay, the run fails and says who it is
//	clocks differ             the earlier one holds: of this machine and of the database
//	a clock jumps             by more than a week: no run but one that is asked for; health says so
//	many dry runs             one at a time, others 429
//	trail takes no records    what was done waits in audit.unrecorded; retention goes on
//	policy made longer        in a run: that one goes by what it began with; what it has only detached is put back
//	nobody active             no runs but those that are asked for
package retention
