// Package testkit is what tests stand on: a real NATS server, a real Postgres, a logger into the test's log, and the patience
// that what comes about in its own time needs.
package testkit
