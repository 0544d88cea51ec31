// Package fault is the one error type that crosses a process border.
//
// What is made with New or Wrap carries a code and a text fit for a stranger; everything else is
// internal, and its text never leaves the process. A fault may name problems by path, so that a bad
// document is answered with everything that is wrong in it at once.
package fault
