package remote

// Result is what became of one call to a provider, as metrics, log and span name it.
type Result string

// The results.
const (
	Active             Result = "active"
	Inactive           Result = "inactive"
	Malformed          Result = "malformed"           // 200 with something that is no RFC 7662 reply
	Oversized          Result = "oversized"           // more than maxReply
	CredentialsRefused Result = "credentials_refused" // 401, 403: it does not take our client id and secret
	UnexpectedStatus   Result = "unexpected_status"   // any other status below 500
	ServerError        Result = "server_error"        // 5xx
	Timeout            Result = "timeout"
	Unreachable        Result = "unreachable" // no connection, TLS refused, connection lost
	Answered           Result = "answered"    // keys or metadata
	Refused            Result = "refused"     // not asked at all: breaker or limit
	KeysAway           Result = "keys_away"   // the key that signed is not known, and keys cannot be fetched now
	Stopped            Result = "stopped"     // this service is ending
)

// Good tells whether the other side has done what it is there for.
func (r Result) Good() bool { return r == Active || r == Inactive || r == Answered }

// Reached is what a result tells a breaker.
type Reached int

// Whether somebody was reached.
const (
	Unknown    Reached = iota // nothing
	Reachable                 // the provider is there, whatever it said to this token
	NotReached                // it is not, or cannot work
)

// Reach is what the result tells a breaker.
func (r Result) Reach() Reached {
	switch r {
	case ServerError, Timeout, Unreachable:
		return NotReached
	case Stopped, Refused, KeysAway:
		return Unknown
	default:
		return Reachable
	}
}

// Problem is a call that gave no answer. Its text is for log and audit: it holds no byte that a stranger,
// a provider or a token could have put there.
type Problem struct {
	Result Result
	Text   string
}

// Error gives the text.
func (p *Problem) Error() string { return p.Text }
