package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Bounds of what is noted.
const (
	maxExchanges = 32
	maxNoted     = 64 << 10 // bytes of one body
	maxShown     = 4 << 10  // bytes of one body, as it is shown
)

// Witness notes calls. It is safe for concurrent use.
type Witness struct {
	// Why says why no reply came, in words that hold nothing a stranger could have put there; nil: it is not said.
	Why func(error) string

	mu      sync.Mutex
	secrets []string
	seen    []*seen
}

// seen is one call. Of its bodies the first bytes are kept until they are shown.
type seen struct {
	to       string
	request  *http.Request
	sent     []byte
	response *http.Response // nil: none came
	received []byte
	more     bool
	problem  string
	began    time.Time
	took     time.Duration
}

// Hide names a secret. The empty one is none.
func (w *Witness) Hide(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if secret != "" {
		w.secrets = append(w.secrets, secret)
	}
}

type toKey struct{}

// To says who is asked by the calls made under the context.
func To(ctx context.Context, who string) context.Context { return context.WithValue(ctx, toKey{}, who) }

// Over gives a client like another whose calls are noted.
func (w *Witness) Over(client *http.Client) *http.Client {
	watched := *client
	watched.Transport = &transport{witness: w, next: client.Transport}
	return &watched
}

type transport struct {
	witness *Witness
	next    http.RoundTripper
}

// RoundTrip makes the call.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s := &seen{request: r, sent: sent(r), began: time.Now()}
	s.to, _ = r.Context().Value(toKey{}).(string)
	t.witness.note(s)
	response, err := t.next.RoundTrip(r)
	t.witness.mu.Lock()
	defer t.witness.mu.Unlock()
	s.took = time.Since(s.began)
	if err != nil {
		if s.problem = "no reply came"; t.witness.Why != nil {
			s.problem = t.witness.Why(err)
		}
		return nil, err //nolint:wrapcheck // net/http's own, as if nobody had looked
	}
	s.response = response
	response.Body = &tee{ReadCloser: response.Body, witness: t.witness, seen: s}
	return response, nil
}

// sent gives the first bytes of a request's body, without taking them away.
func sent(r *http.Request) []byte {
	if r.GetBody == nil || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(body, maxNoted))
	return text
}

func (w *Witness) note(s *seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) < maxExchanges {
		w.seen = append(w.seen, s)
	}
}

// tee keeps the first bytes of a reply that is read.
type tee struct {
	io.ReadCloser
	witness *Witness
	seen    *seen
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.witness.mu.Lock()
	defer t.witness.mu.Unlock()
	fits := min(n, maxNoted-len(t.seen.received))
	t.seen.received = append(t.seen.received, p[:fits]...)
	t.seen.more = t.seen.more || fits < n
	t.seen.took = time.Since(t.seen.began)
	return n, err //nolint:wrapcheck // the body's own
}

// Exchanges gives what was noted so far, in the order it began.
func (w *Witness) Exchanges() []*identityv1.Exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	hide := newHider(slices.Concat(w.secrets, w.shown()))
	all := make([]*identityv1.Exchange, 0, len(w.seen))
	for _, s := range w.seen {
		x := &identityv1.Exchange{
			To: s.to, Method: s.request.Method, Url: hide.url(s.request.URL), Sent: hide.sent(s.request, s.sent),
			Problem: s.problem, Took: durationpb.New(s.took),
		}
		if s.response != nil {
			x.Status = uint32(s.response.StatusCode) //nolint:gosec // three digits
			x.ContentType = hide.text(s.response.Header.Get("Content-Type"))
			x.Received = hide.body(x.GetContentType(), s.received, s.more)
			x.Received, x.Cut = short(x.GetReceived(), s.more)
		}
		all = append(all, x)
	}
	return all
}

// shown gives the credentials that requests have shown in their header: a reply may repeat them as they stand there.
func (w *Witness) shown() (all []string) {
	for _, s := range w.seen {
		_, credential, _ := strings.Cut(s.request.Header.Get("Authorization"), " ")
		if credential == "" {
			continue
		}
		all = append(all, credential)
		if plain, err := base64.StdEncoding.DecodeString(credential); err == nil {
			_, password, _ := strings.Cut(string(plain), ":")
			if all = append(all, string(plain)); password != "" {
				all = append(all, password)
			}
		}
	}
	return all
}

// short cuts a text that is too long to be shown.
func short(text string, more bool) (string, bool) {
	if len(text) <= maxShown {
		return text, more
	}
	return string(bytes.ToValidUTF8([]byte(text[:maxShown]), nil)), true
}
