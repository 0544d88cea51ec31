// Package testkit is what tests stand on: a real NATS server, a real Postgres, a logger into the test's log.
package testkit
