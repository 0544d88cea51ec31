// Package broker is a NATS server inside this process, for the single-node edition, development and tests:
// authenticated, with JetStream, fsync before every acknowledgement, and each service's rights enforced.
//
// # When a dependency is gone
//
//	port in use           Start fails and names the address
//	store folder unusable Start fails and names the folder
//	disk full             JetStream refuses writes; the streams' owners say so
//	process killed        what was acknowledged is on the disk; Start with the same folder goes on from it
package broker
