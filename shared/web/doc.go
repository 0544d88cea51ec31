// Package web is HTTP as every service of the suite speaks it to its own users: a server that drains, answers
// in JSON, and faults as problem documents that name what is wrong by path.
package web
