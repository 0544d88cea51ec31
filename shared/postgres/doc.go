// Package postgres opens, migrates and, where there is no database server, runs PostgreSQL.
//
//   - [Open] makes a pool and does not need the database for it; [Wait] waits until it answers.
//   - [Migrate] brings one schema to the newest version, whole files at a time.
//   - [StartPrivate] keeps a server of one's own under a folder: reachable over its socket only, restarted when
//     it dies, adopted when it outlived the process that started it.
//
// # What happens when
//
//	the database is ...           what a caller sees
//	away when Open is called      nothing: the pool is made, calls fail until it is there (Require: an error)
//	away later                    calls fail at once (refused) or after ConnectTimeout (no answer); they work again
//	                              with the first new connection, no restart needed
//	slow                          calls take as long as their ctx allows; no timeout of its own is set
//	replaced (failover, restart)  connections idle for over 1 s are pinged before use, dead ones replaced
//	away when Migrate is called   an error at once; call Wait first
//	migrated by another instance  Migrate waits for its turn, as long as ctx allows, then finds nothing to do
//	killed within a migration     the file is rolled back with its version and runs again next time
//	dirty                         *DirtyError: names the version and what to do
//	newer than the program        *NewerError: names both versions; nothing is changed
//
//	the private server ...
//	has no programs to run        ErrNoServer: says what to run
//	ends by itself, is killed     started again, at once and then with a backoff of up to 10 s, until Stop
//	outlived its suite            adopted, after it answered and showed that its data are those of this folder
//	left a stale postmaster.pid   started over it, also when its process number belongs to another process now
//	was killed within initdb      initdb runs again: a data folder exists only when it is complete
//	belongs to another version    an error which names both versions
//	may not enter its folder      an error which names the first folder that shuts it out
//	has a path over 107 bytes     its socket moves to a 0700 folder under os.TempDir; the log says so
//
// The private server belongs to Unix: accounts, sockets, signals and flock.
package postgres
