package introspection_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeProvider is an RFC 7662 endpoint that knows every token which begins with "good", and does with any other
// what it is told to.
type fakeProvider struct {
	*httptest.Server
	calls atomic.Int64
	// most is the greatest number of calls it had at once.
	now, most atomic.Int64

	mu     sync.Mutex
	misuse map[string]http.HandlerFunc // by token
	all    http.HandlerFunc            // for every token without a misuse
}

func newFakeProvider(t testing.TB) *fakeProvider {
	t.Helper()
	f := &fakeProvider{misuse: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// on does h with a token; "" is every token.
func (f *fakeProvider) on(token string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if token == "" {
		f.all = h
		return
	}
	f.misuse[token] = h
}

func (f *fakeProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls.Add(1)
	defer f.now.Add(-1)
	for n := f.now.Add(1); ; {
		most := f.most.Load()
		if n <= most || f.most.CompareAndSwap(most, n) {
			break
		}
	}
	token := r.PostFormValue("token")
	f.mu.Lock()
	h := f.misuse[token]
	if h == nil {
		h = f.all
	}
	f.mu.Unlock()
	if h != nil {
		h(w, r)
		return
	}
	answer(w, map[string]any{
		"active": len(token) >= 4 && token[:4] == "good", "client_id": "ci-bot", "sub": "ci-bot", "scope": "read write",
		"exp": time.Now().Add(time.Hour).Unix(), "token": token,
	})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(body)
}

// says answers with a status, a type and a body.
func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}
