// Package settings reads a process's settings from its environment: variables that begin with GATEHOUSE_.
//
// Settings are what an operator says about one process (where it listens, where NATS is). What an admin says
// about sites and rules is configuration: it is in the log, never here.
package settings
