package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
	"github.com/gatehouse-suite/gatehouse/services/gateway/spool"
)

// call is one request on its way through the policy: the one wide record that the first step begins, every
// step fills and the last writes.
type call struct {
	gw   *gateway
	w    http.ResponseWriter
	r    *http.Request
	ctx  context.Context //nolint:containedctx // a call lives exactly as long as its request
	plan *plan
	at   time.Time
	id   string // X-Gatehouse-Request-Id
	// trial: nobody makes the call; nil: somebody does.
	trial *trial

	// Row 0 and 1.
	target rules.Target
	site   *site
	path   string // canonical, below the context path, rewritten as the product does
	caller caller
	sorted bool // only is known
	only   bool // the call only reads

	// Row 6.
	session session

	// Row 8 to 11.
	cred        credential
	form        bool     // the body is a form, and read on its way
	key         cacheKey // of the credential, once it was looked up
	provider    string
	clientID    string
	lastWord    string          // says so where a provider is away and its last word counts
	owner       string          // whom the token was issued to, as its provider says; may be empty
	user        string          // acted as, or who the product says it is
	account     *account        // acted with; nil: not ours
	signed      signed          // only by an account that signs
	token       *tokenlog.Token // an API token; nil: none
	groups      []string        // of the user, as far as a rule names them; shared
	fingerprint string

	// The answer.
	page       *page // of our own, for a person; nil: none
	answer     answer
	observed   reason // what it would have been refused for; only in observe mode
	unrecorded bool   // it could not be recorded
	entry      spool.Call
	kept       bool // its record is whole
	// The forward.
	node     string
	status   int
	received *counted // nil: no body
	bytesOut int64
	upstream time.Duration
	outcome  string
	traceID  string
}

// answer ends the walk. The zero answer lets the call go on to the next row.
type answer struct {
	kind   answerKind
	reason reason
	// detail is for the audit trail only.
	detail string
	// fields are added to a refusal's header.
	fields []field
}

// decision is the word the audit record has for a call: what was only observed has let nobody in.
func (c *call) decision() string {
	if c.observed != "" && c.answer.forwarded() {
		return "pass"
	}
	return c.answer.decision()
}

type answerKind uint8

const (
	goOn       answerKind = iota
	deny                  // refused here
	own                   // answered here
	pass                  // forwarded as the client sent it
	asNobody              // forwarded without cookies and credentials
	asThemself            // forwarded with the client's own credential, which was judged
	asAccount             // forwarded with ours
)

type field struct{ name, value string }

func refuse(r reason, detail string) answer { return answer{kind: deny, reason: r, detail: detail} }

// forwarded tells whether a node is asked for the answer.
func (a *answer) forwarded() bool {
	switch a.kind {
	case pass, asNobody, asThemself, asAccount:
		return true
	case deny, own, goOn:
		return false
	default:
		return false
	}
}

// decision is the word the audit record has for an answer.
func (a *answer) decision() string {
	switch a.kind {
	case deny:
		return "deny"
	case asThemself, asAccount:
		return "allow"
	case goOn, own, pass, asNobody:
		return "pass"
	default:
		return "deny"
	}
}
