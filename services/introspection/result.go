package introspection

// result is what became of one call to a provider, as metrics, log and span name it.
type result string

const (
	resultActive      result = "active"
	resultInactive    result = "inactive"
	resultMalformed   result = "malformed"           // 200 with something that is no RFC 7662 reply
	resultOversized   result = "oversized"           // more than maxReply
	resultCredentials result = "credentials_refused" // 401, 403: it does not take our client id and secret
	resultStatus      result = "unexpected_status"   // any other status below 500
	resultServerError result = "server_error"        // 5xx
	resultTimeout     result = "timeout"
	resultUnreachable result = "unreachable" // no connection, TLS refused, connection lost
	resultAnswered    result = "answered"    // keys or metadata
	resultRefused     result = "refused"     // not asked at all: breaker or limit
	resultKeys        result = "keys_away"   // the key that signed is not known, and keys cannot be fetched now
	resultStopped     result = "stopped"     // this service is ending
)

func (r result) good() bool { return r == resultActive || r == resultInactive || r == resultAnswered }

// reach is what a result tells a breaker.
type reach int

const (
	unknown    reach = iota // nothing
	reached                 // the provider is there, whatever it said to this token
	notReached              // it is not, or cannot work
)

func (r result) reach() reach {
	switch r {
	case resultServerError, resultTimeout, resultUnreachable:
		return notReached
	case resultStopped, resultRefused, resultKeys:
		return unknown
	default:
		return reached
	}
}

// problem is a call that gave no answer. Its text is for log and audit: it holds no byte that a stranger,
// a provider or a token could have put there.
type problem struct {
	result result
	text   string
}

// Error gives the text.
func (p *problem) Error() string { return p.text }
