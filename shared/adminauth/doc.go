// Package adminauth says who calls an admin API: the holder of an admin token, found by the token's SHA-256
// in the configuration log, or of the first one, which the process was given and which is named "bootstrap".
//
// Every service that answers admins uses it, so that one token opens all of them and one revocation closes
// all of them.
//
//	auth := adminauth.New(log, adminauth.Hash(settings.AdminToken), follower.Snapshot)
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
package adminauth
