// Package eventlog is the kernel: Append and Follow over one JetStream stream. It knows no domain type.
//
// One message is one commit: bytes that are applied whole or not at all. A commit names the hash of its
// predecessor (header Gatehouse-Prev-Hash), and its own hash is its message id (Nats-Msg-Id), so
//
//	hash(n) = SHA-256(hash(n-1) ‖ data(n)),  hash(0) = 32 zero bytes
//
// and a State (sequence, hash) names one history and no other.
//
// Append is optimistic: it says which State it follows and is refused when another commit is already there.
// An acknowledgement that is lost is made good by looking whether the commit has landed, because a retry is
// answered "duplicate" by a replicated stream and "wrong last sequence" (10071) by a single one.
//
// Follow applies commits in order, without a gap, each exactly once, and stops at whatever does not fit.
// It trusts no single source: what a republished message or a replica's direct get shows is read again from
// the stream's leader before it is called broken. Only a server that says who leads the stream is believed:
// members of a group without a leader answer too, with what they happen to have.
//
// Tail is Follow for as long as a process lives: it goes on after trouble, has what is missing repaired, and what was read counts
// once the log was read to its end.
//
// # When a dependency is gone
//
//	NATS away, Append            retried until the context ends, then ErrNotStored when nothing was sent,
//	                             else ErrUnclear: the commit may have landed
//	NATS away, Follow            Away is called with the reason; goes on by itself when NATS is back
//	no quorum, or no leader      as NATS away
//	stream missing               as NATS away: whoever owns the stream makes it
//	stream full, disk full       Append as NATS away
//	no rights in NATS            Append fails after one Attempt and names the subject; Follow calls Away with it
//	connection closed            Append and Follow end
//	leader killed                4 to 9 s without an answer, then as before
//	republished message lost     found by the next message or the next check, read from the stream
//	message missing (gap)        *BrokenError, Gap, once it has been missing for two checks
//	message altered (bit rot)    *BrokenError, Altered; as Gap when the server's own checksum shows it
//	stream ends before us        *BrokenError, Rewound (truncated, restored from an old backup, made anew), once it has for two checks
//	another history              *BrokenError, Forked
//	commit refused by the caller *PoisonError; nothing behind it is applied
package eventlog
