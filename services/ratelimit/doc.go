// Package ratelimit says how many permits a credential still has, over all gateways.
//
// In come requests for permits (ratelimit.v1.reserve, queue group); out go leases. A permit is a ticket of a
// JetStream counter: adding k to a window's counter gives the total v, and this lease owns the tickets v-k+1
// to v; those above the limit are void. Leases are disjoint by construction, so no schedule of instances,
// restarts or lost answers admits more than the limit. An error wastes tickets, it never makes them: an add
// whose answer was lost is not repeated and not given back.
//
// The window's number comes with the lease, by this service's clock; a gateway uses durations only.
//
// # When a dependency is gone
//
//	NATS          nobody can ask; gateways spend what they have leased
//	stream RATE   fault unavailable; nothing is admitted on its account
//	this service  its other instances answer; it keeps nothing
package ratelimit
