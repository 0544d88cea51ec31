// Package gateways keeps the list of gateways: who there is, who lives, and which configuration each decides
// under.
//
// What a gateway decides under is held against the log by sequence and hash. One whose configuration is not in the
// log has another history, or one that this process has not read yet; which of the two is for the caller to find
// out.
//
// A gateway is on the list from its first beat, or its entry in bucket GATEWAYS, until it signs off or its
// entry expires (the longest stale.max it may go by, and somewhat more); without an entry, until it was silent
// for as long. It lives while it was heard within
// Options.LiveWithin. The bucket is read as well as the beats, so that a service that was just started knows
// those too which are silent: they may still answer calls under what they had.
//
//	NATS away             the list stays; nobody lives after LiveWithin; Loaded tells whether it was ever read
//	bucket away           the list stays, beats still count
//	two beats out of order   the later one of the later instance counts
//	a beat that is no beat   ignored, and said once in the log at level debug
package gateways
