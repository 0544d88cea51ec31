// Package configlog is what the configuration log means: its facts decoded, folded into a Config, frozen in a
// Snapshot, and followed.
//
// It is shared because every service reads the same log and must read it alike. It knows no rule about what a
// valid configuration is: that is decided once, by config, before a commit; whoever folds believes the log.
//
// Config has the shape of the document that GET and PUT /api/v1/config exchange, field by field, so there is
// one model of the configuration and not three.
//
// # When something is wrong
//
//	NATS away            the last Snapshot stays; Status says since when nothing was heard
//	log broken           what is before the break becomes the Snapshot; the commits behind it are asked of
//	                     config (Options.Repair), and taken when they continue the history; Status names
//	                     what is broken until the log goes on
//	fact of a newer kind the commits before it become the Snapshot; Status says blocked at which one
//	either, and no       none is published: what was never read to its end may be of any age
//	Snapshot yet
//	snapshot refused     (OnSnapshot fails) the last Snapshot stays; tried again at each check of the log
//	empty log            is a loaded configuration: an empty one
package configlog
