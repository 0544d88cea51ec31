// Package bus is how every service connects to NATS: the client settings whose defaults are wrong for us,
// in one place.
//
// The defaults give up after 60 reconnects, notice a dead peer after four minutes, and replay buffered
// messages late and out of order after a reconnect. Here a connection is never given up, a dead peer is
// noticed within about three seconds, and what is published while NATS is away fails at once, so that the caller
// decides what becomes of it. Reply subjects begin with 128 random bits: the client's own names come from a generator
// that is seeded with the time, and a guessed one is a place to send a forged answer to.
//
// # When NATS is gone
//
//	at start    Connect returns at once with a connection that is being made; requests fail until it is
//	later       reconnects for ever, every 100 ms with jitter; publishing fails meanwhile, nothing is buffered
//	key refused as NATS away: the server may be told of the key later
//	no rights   the server's refusal is logged with the subject
package bus
