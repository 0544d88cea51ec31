package adminauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
)

func Example() {
	auth := adminauth.New(slog.New(slog.DiscardHandler), adminauth.Hash("let-me-in"), func() *configlog.Snapshot { return nil }, nil)
	who := auth.Middleware(adminauth.RoleAdmin)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(adminauth.From(r.Context()).Name)
	}))
	r := httptest.NewRequest(http.MethodGet, "/api/v1/config", nil)
	r.Header.Set("Authorization", "Bearer let-me-in")
	who.ServeHTTP(httptest.NewRecorder(), r)
	// Output: bootstrap
}

func snapshotWith(tokens ...configlog.AdminToken) func() *configlog.Snapshot {
	s := &configlog.Snapshot{}
	s.AdminTokens = map[string]configlog.AdminToken{}
	for _, t := range tokens {
		s.AdminTokens[t.Name] = t
	}
	return func() *configlog.Snapshot { return s }
}

func call(h http.Handler, address, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.RemoteAddr = address
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	auditor, expired, manager := adminauth.NewToken(), adminauth.NewToken(), adminauth.NewToken()
	snapshot := snapshotWith(
		configlog.AdminToken{Name: "eve", Role: adminauth.RoleAuditor, SHA256: adminauth.Hash(auditor), ExpiresAt: time.Now().Add(time.Hour)},
		configlog.AdminToken{Name: "old", Role: adminauth.RoleAdmin, SHA256: adminauth.Hash(expired), ExpiresAt: time.Now().Add(-time.Second)},
		configlog.AdminToken{Name: "tom", Role: adminauth.RoleTokenManager, SHA256: adminauth.Hash(manager)},
	)
	var log bytes.Buffer
	auth := adminauth.New(slog.New(slog.NewTextHandler(&log, nil)), adminauth.Hash("first"), snapshot, nil)
	var got adminauth.Admin
	h := auth.Middleware(adminauth.RoleAdmin, adminauth.RoleAuditor)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = adminauth.From(r.Context())
	}))
	for name, c := range map[string]struct {
		header string
		status int
		who    string
	}{
		"bootstrap":          {"Bearer first", 200, "bootstrap"},
		"scheme in any case": {"bEARER first", 200, "bootstrap"},
		"issued":             {"Bearer " + auditor, 200, "eve"},
		"expired":            {"Bearer " + expired, 401, ""},
		"wrong role":         {"Bearer " + manager, 403, ""},
		"none":               {"", 401, ""},
		"empty":              {"Bearer ", 401, ""},
		"basic":              {"Basic Zmlyc3Q6Zmlyc3Q=", 401, ""},
		"wrong":              {"Bearer wrong-token-value", 401, ""},
	} {
		got = adminauth.Admin{}
		w := call(h, "192.0.2.7:1234", c.header)
		if w.Code != c.status || got.Name != c.who {
			t.Errorf("%s: status %d, who %+v", name, w.Code, got)
		}
		if w.Code == 200 && got.Address != "192.0.2.7" {
			t.Errorf("%s: address %q", name, got.Address)
		}
		if w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no challenge", name)
		}
	}
	if text := log.String(); strings.Contains(text, "wrong-token-value") || strings.Contains(text, expired) || !strings.Contains(text, "192.0.2.7") {
		t.Errorf("log: %s", text)
	}
}

func TestGuessingIsBounded(t *testing.T) {
	t.Parallel()
	good := adminauth.NewToken()
	auth := adminauth.New(slog.New(slog.DiscardHandler), adminauth.Hash("first"),
		snapshotWith(configlog.AdminToken{Name: "a", Role: adminauth.RoleAdmin, SHA256: adminauth.Hash(good)}), nil)
	h := auth.Middleware()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	limited := 0
	for i := range 100 {
		if w := call(h, "192.0.2.8:1", fmt.Sprintf("Bearer guess-%d", i)); w.Code == 429 {
			limited++
		}
	}
	if limited < 70 {
		t.Errorf("only %d of 100 guesses were slowed", limited)
	}
	for name, c := range map[string]struct {
		address, token string
		status         int
	}{
		"the right guess is not judged":        {"192.0.2.8:2", "first", 429},
		"a token nobody can guess is":          {"192.0.2.8:2", good, 200},
		"others are not slowed":                {"192.0.2.9:2", "first", 200},
		"an IPv6 host cannot change its place": {"[2001:db8::1]:2", "first", 200},
	} {
		if w := call(h, c.address, "Bearer "+c.token); w.Code != c.status {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

func TestManyAddressesStayBounded(t *testing.T) {
	t.Parallel()
	auth := adminauth.New(slog.New(slog.DiscardHandler), adminauth.Hash("first"), snapshotWith(), nil)
	h := auth.Middleware()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for i := range 10_000 {
		if w := call(h, fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), "Bearer x"); w.Code != 401 {
			t.Fatalf("status %d", w.Code)
		}
	}
}

func TestBeforeTheConfigurationIsLoaded(t *testing.T) {
	t.Parallel()
	auth := adminauth.New(slog.New(slog.DiscardHandler), adminauth.Hash("first"), func() *configlog.Snapshot { return nil }, nil)
	h := auth.Middleware()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if w := call(h, "192.0.2.8:1", "Bearer first"); w.Code != 200 {
		t.Errorf("bootstrap: %d", w.Code)
	}
	if w := call(h, "192.0.2.8:1", "Bearer "+adminauth.NewToken()); w.Code != 503 {
		t.Errorf("another: %d", w.Code)
	}
	none := adminauth.New(slog.New(slog.DiscardHandler), adminauth.Hash(""), snapshotWith(), nil)
	if w := call(none.Middleware()(h), "192.0.2.8:1", "Bearer x"); w.Code != 401 {
		t.Errorf("no bootstrap token: %d", w.Code)
	}
}

func TestFirstToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "admin-token")
	token, made, err := adminauth.FirstToken(path)
	if err != nil || !made || !opaque.WellFormed(adminauth.Prefix, token) {
		t.Fatal(token, made, err)
	}
	again, made, err := adminauth.FirstToken(path)
	if err != nil || made || again != token {
		t.Fatal(again, made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := adminauth.FirstToken(path); err == nil {
		t.Error("an empty file passes")
	}
}
