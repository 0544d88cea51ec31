// Package tokenlog is what the token log means: its facts decoded, and folded into a Registry of API tokens that is changed in
// place and followed.
//
// It is shared because config decides on what gateways check, and both must read the log alike. It knows no rule about who may
// have a token: that is decided once, by config, before a commit.
//
// # When something is wrong
//
//	NATS away            what the Registry holds stays; Status says since when nothing was heard
//	log broken           what is before the break counts; Status names what is broken until the log goes on
//	fact of a newer kind the commits before it count; Status says blocked at which one
//	either, and nothing  the Registry has no token: what was never read to its end may lack revocations
//	counts yet
package tokenlog
