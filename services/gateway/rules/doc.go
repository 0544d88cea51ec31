// Package rules is the pure part of the policy: what a path, a host and a pattern mean. No I/O, no clock, no
// state; judging a call allocates nothing once a configuration is compiled, unless the call itself is odd.
package rules
