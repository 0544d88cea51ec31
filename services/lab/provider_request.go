package lab

import (
	"crypto/rand"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	loginTime    = 10 * time.Minute // from the authorization request to the code
	codeLifetime = time.Minute      // RFC 6749 section 4.1.2: 10 minutes at most
	maxLogins    = 1 << 12
)

// authRequest is an op.AuthRequest: what was asked for, and who logged in. It is
// replaced, never changed in place.
type authRequest struct {
	asked    *oidc.AuthRequest
	id       string
	user     string // empty until somebody logged in
	loggedIn time.Time
	expires  time.Time
	spent    bool // its code was shown
}

// GetID is what the log-in page and the callback name it by.
func (a *authRequest) GetID() string { return a.id }

// GetACR is empty: the lab has one way to log in.
func (a *authRequest) GetACR() string { return "" }

// GetAMR is that way (RFC 8176).
func (a *authRequest) GetAMR() []string { return []string{"pwd"} }

// GetAudience is that of the ID token.
func (a *authRequest) GetAudience() []string { return []string{a.asked.ClientID} }

// GetAuthTime is when the person logged in.
func (a *authRequest) GetAuthTime() time.Time { return a.loggedIn }

// GetClientID is who asked.
func (a *authRequest) GetClientID() string { return a.asked.ClientID }

// GetCodeChallenge is never nil: PKCE is required.
func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.asked.CodeChallenge, Method: a.asked.CodeChallengeMethod}
}

// GetNonce is that of the ID token.
func (a *authRequest) GetNonce() string { return a.asked.Nonce }

// GetRedirectURI is where the code goes.
func (a *authRequest) GetRedirectURI() string { return a.asked.RedirectURI }

// GetResponseType is code.
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.asked.ResponseType }

// GetResponseMode is as asked for.
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.asked.ResponseMode }

// GetScopes are the granted ones: all that were asked for.
func (a *authRequest) GetScopes() []string { return a.asked.Scopes }

// GetState goes back to the client.
func (a *authRequest) GetState() string { return a.asked.State }

// GetSubject is the person's user name.
func (a *authRequest) GetSubject() string { return a.user }

// Done reports whether somebody logged in.
func (a *authRequest) Done() bool { return a.user != "" }

func (a *authRequest) grant() *grant {
	g := newGrant(TokenSpec{ClientID: a.asked.ClientID, Subject: a.user, Username: a.user, Scopes: a.asked.Scopes})
	g.request = a.id
	return g
}

var (
	errNoRequest = errors.New("no such authorization request, or it took too long")
	errNoCode    = errors.New("no such authorization code")
	errTooMany   = errors.New("too many authorization requests under way")
)

// requests are the authorization requests under way, a bounded number of them:
//
//	add -> login -> code -> spend
//
// and every step can be done once.
type requests struct {
	mu    sync.Mutex
	open  map[string]authRequest // by id, until they have a code
	coded map[string]authRequest // by code, until that expires; a spent one tells that it is shown again
}

func newRequests() *requests {
	return &requests{open: map[string]authRequest{}, coded: map[string]authRequest{}}
}

func (q *requests) add(now time.Time, asked *oidc.AuthRequest) (*authRequest, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size() >= maxLogins {
		expired := func(_ string, a authRequest) bool { return !now.Before(a.expires) }
		maps.DeleteFunc(q.open, expired)
		maps.DeleteFunc(q.coded, expired)
	}
	if q.size() >= maxLogins {
		return nil, errTooMany
	}
	a := authRequest{asked: asked, id: rand.Text(), expires: now.Add(loginTime)}
	q.open[a.id] = a
	return &a, nil
}

func (q *requests) size() int { return len(q.open) + len(q.coded) }

// find is a request that has no code yet.
func (q *requests) find(now time.Time, id string) (*authRequest, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return live(q.open, now, id, errNoRequest)
}

// login notes who logged in; a second person does not replace the first.
func (q *requests) login(now time.Time, id, user string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, err := live(q.open, now, id, errNoRequest)
	if err != nil {
		return err
	}
	if a.Done() {
		return errNoRequest
	}
	a.user, a.loggedIn = user, now
	q.open[id] = *a
	return nil
}

// code lets a request be found by its code from now on, and by that only.
func (q *requests) code(now time.Time, id, code string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, err := live(q.open, now, id, errNoRequest)
	if err != nil {
		return err
	}
	delete(q.open, id)
	a.expires = now.Add(codeLifetime)
	q.coded[code] = *a
	return nil
}

// spend is the request of a code as it was before; a spent one was shown before.
func (q *requests) spend(now time.Time, code string) (*authRequest, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, err := live(q.coded, now, code, errNoCode)
	if err != nil {
		return nil, err
	}
	shown := *a
	shown.spent = true
	q.coded[code] = shown
	return a, nil
}

// live is a copy of what has not expired.
func live(from map[string]authRequest, now time.Time, key string, missing error) (*authRequest, error) {
	a, ok := from[key]
	if !ok || !now.Before(a.expires) {
		return nil, missing
	}
	return &a, nil
}
