// Package factlog is how domain facts are written as the commits of a log, and read again.
//
// A fact is a protobuf message in the past tense; its full name is its type. A commit holds the facts of one change, who made it,
// when and why. What the facts mean is the business of those who fold them: configlog, tokenlog.
package factlog
