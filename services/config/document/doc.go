// Package document is the configuration as the admin API exchanges it: read from JSON or YAML, laid over its
// defaults, checked, and written again.
//
// Read is strict and says everything that is wrong at once, each problem by its path: a field nobody knows, a
// value of another type, a key that is there twice. null means absent. A secret's value is taken out on the
// way, into Plain, which no format verb and no encoder shows; no message ever repeats what was written where a
// secret belongs.
//
// Check judges what was read without asking anybody: problems are what cannot work, warnings what is merely
// dangerous. It is pure, so that a Git pipeline never depends on a directory being up.
//
//	malformed JSON or YAML, trailing data   one problem, with line and column
//	key twice in one object                 a problem at its path
//	YAML aliases                            followed, up to 200,000 values in all; cycles are too deep
//	nested deeper than 32                   a problem
//	more than 500 problems                  the first 500 of each step, and that there are more
package document
