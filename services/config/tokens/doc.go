// Package tokens decides on API tokens: who may have one, and which open nothing any more. What is decided is a commit of the
// token log (stream TOKENS), which gateways follow.
//
// A decision is made on what the log holds and stored after exactly that, so two instances that decide at once are kept apart:
// the second one decides again. A token itself is nowhere but in the answer to who asked for it.
//
//	NATS away            no token is issued or revoked; those that are there are listed
//	another commit first decided again, a few times
//	unclear              said: the token may have been issued, and nobody has it
package tokens
