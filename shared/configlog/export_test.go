package configlog

import "github.com/gatehouse-suite/gatehouse/shared/eventlog"

// Freeze is what a Follower does before each commit.
func (f *Folded) Freeze() Folded { return f.freeze() }

// Apply is what a Follower does with each commit.
func (f *Follower) Apply(c eventlog.Commit) error { return f.apply(c) }
