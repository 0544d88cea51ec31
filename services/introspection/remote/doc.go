// Package remote is how introspection calls others over HTTP, and what becomes of a call: identity providers, nodes of the
// products and directories alike.
//
// A call ends in a Result, or in a Problem that says in words of our own what kept an answer from coming: nothing that a
// stranger, a provider or a token could have put there. A Gate bounds how many calls one of them gets at once, a Breaker leaves
// alone who does not answer, and Notes decide what is worth a line in the log.
package remote
