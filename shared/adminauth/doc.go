// Package adminauth says who calls an admin API: the holder of an admin token, found by the token's SHA-256
// in the configuration log, or of the first one, which the process was given and which is named "bootstrap".
//
// Every service that answers admins uses it, so that one token opens all of them and one revocation closes
// all of them.
//
//	auth := adminauth.New(log, adminauth.Hash(settings.AdminToken), follower.Snapshot, journal)
//	r.With(auth.Middleware(adminauth.RoleAdmin, adminauth.RoleAuditor)).Get("/events", list)
//
// # What is answered
//
//	no Authorization header, or not Bearer      401 unauthenticated
//	a token nobody has, revoked or expired      401 unauthenticated, logged without the token
//	a token whose role may not                  403 forbidden
//	too many wrong tokens from this address     429 limited, with Retry-After, before the token is judged; but
//	                                            one of 256 random bits (gha_…) cannot be guessed and is judged
//	the configuration was never loaded          503 unavailable for all but bootstrap: nobody can be told apart
//
// # What the audit trail is told (Journal), and what happens when it cannot be
//
//	an admin came                admin.signed_in, once for a token and an address in 15 min
//	somebody was refused         admin.refused: the first at once; those alike (reason, admin, address) that follow are
//	                             counted and recorded as one every 5 min. 100 unlike ones at a time, the rest as one
//	                             for each reason: at most 208 records in 5 min, whoever guesses
//	NATS or the stream is away   a sign-in waits 500 ms, then goes on; it is recorded when the trail takes records again.
//	                             Nobody is refused for that: changes need the same NATS, and are in the
//	                             configuration log with who made them, which the trail has a record of too
//	too many records wait        what comes is logged, not recorded; the next use of the token tries again
//	process killed               what waited and what was counted since the last sum is lost
package adminauth
