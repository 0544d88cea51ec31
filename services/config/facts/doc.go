// Package facts says what a change of the configuration means: which facts (proto/config/v1) lead from one
// document to another, and how a fact is shown.
//
// Diff is the inverse of configlog's fold: folding its facts over the first document gives the second, and
// there are none when both say the same. What is a set (sites, nodes, accounts, address ranges, patterns) has
// no order here; the order of a site's providers counts, because they are asked in it.
package facts
