// Package secret seals secrets to whoever uses them, so that nobody between can read them: not the log, not
// the admin API, not config itself once it has sealed them.
//
// An installation has two age (X25519) identities: introspection's, which opens provider secrets, and the
// gateways', which opens upstream credentials. Config holds only their recipients, and that of an offline
// recovery identity to which everything is sealed as well. Keys is the folder they are kept in.
//
// A sealed secret lives in bucket SECRETS under "ref.version", written before the commit that names it and
// never overwritten. What a fact holds is reference, version and a fingerprint: an HMAC under the
// installation's own key, because a bare hash of a password could be guessed.
//
// # When something is wrong
//
//	bucket away, sealing   ErrAway: the change is refused, nothing of it is applied
//	bucket away, opening   ErrAway: the user keeps what it had opened before
//	not in the bucket      Open fails and names the reference; that is not ErrAway, waiting does not help
//	wrong identity         Open fails and names the reference, never the value
//	{env} or {file} unset  Open fails and names the variable or the file; so does an empty one
package secret
