package witness_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

const needle = `p+a/s "s` + "ä" + `wörd`

// exchange has one call noted: what a server answers it with.
func exchange(t *testing.T, request func(at string) *http.Request, answer http.HandlerFunc) *identityv1.Exchange {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	w := new(witness.Witness)
	w.Hide(needle)
	w.Hide("")
	r := request(server.URL)
	resp, err := w.Over(server.Client()).Do(r.WithContext(witness.To(t.Context(), "provider corp")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	all := w.Exchanges()
	if len(all) != 1 || all[0].GetTo() != "provider corp" || all[0].GetTook().AsDuration() <= 0 {
		t.Fatalf("%v", all)
	}
	text, err := protojson.Marshal(all[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{needle, "s ä", url.QueryEscape(needle), url.PathEscape(needle), base64.StdEncoding.EncodeToString([]byte(needle)), "ä"} {
		if strings.Contains(string(text), form) {
			t.Errorf("%q is in %s", form, text)
		}
	}
	return all[0]
}

func post(contentType, body string, header ...string) func(string) *http.Request {
	return func(at string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, at+"/introspect", strings.NewReader(body))
		r.RequestURI = ""
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		r.Header.Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
}

func TestWhatIsSentIsShownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	form := url.Values{"token": {"any"}, "client_secret": {"x"}, "client_id": {"me"}, "scope": {"read", needle}, "client_assertion": {"a.b.c"}}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+needle))
	x := exchange(t, post("application/x-www-form-urlencoded", form.Encode(), "Authorization", basic, "Cookie", "JSESSIONID=1"), func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") != "any" || r.Header.Get("Authorization") != basic {
			t.Error("what was sent has changed")
		}
		w.WriteHeader(http.StatusTeapot)
	})
	want := []*identityv1.Field{
		{Name: "Authorization", Value: "Basic me:…"},
		{Name: "Cookie", Value: "…"},
		{Name: "client_assertion", Value: "…"},
		{Name: "client_id", Value: "me"},
		{Name: "client_secret", Value: "…"},
		{Name: "scope", Value: "read"},
		{Name: "scope", Value: "…"},
		{Name: "token", Value: "…"},
	}
	if diff := cmp.Diff(want, x.GetSent(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if x.GetStatus() != http.StatusTeapot || x.GetMethod() != http.MethodPost || !strings.HasSuffix(x.GetUrl(), "/introspect") {
		t.Errorf("%v", x)
	}
	x = exchange(t, post("application/json", `{"access_token":"any","n":12345678901234567890}`), func(http.ResponseWriter, *http.Request) {})
	if len(x.GetSent()) != 1 || x.GetSent()[0].GetValue() != `{"access_token":"…","n":12345678901234567890}` {
		t.Errorf("%v", x.GetSent())
	}
	x = exchange(t, func(at string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, at+"/tokeninfo?access_token=any&x=1&y="+url.QueryEscape(needle), http.NoBody)
		r.RequestURI = ""
		r.URL.User = url.UserPassword("me", needle)
		r.Header.Set("Authorization", "Bearer any")
		return r
	}, func(http.ResponseWriter, *http.Request) {})
	if !strings.HasSuffix(x.GetUrl(), "/tokeninfo?access_token=…&x=1&y=…") || strings.Contains(x.GetUrl(), "@") || x.GetSent()[0].GetValue() != "Bearer …" {
		t.Errorf("%v", x)
	}
}

func TestWhatComesBackIsShownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ contentType, body, want string }{
		{
			"application/json;charset=UTF-8", `{"active":true,"exp":1795787208,"echo":"I got p+a/s \"sä` + `wörd","token":"any","nested":[{"refresh_token":"r"}],"token_endpoint":"https://h"}`,
			`{"active":true,"echo":"I got …","exp":1795787208,"nested":[{"refresh_token":"…"}],"token":"…","token_endpoint":"https://h"}`,
		},
		{"application/jwk-set+json", `{"keys":[]} rest ` + needle, `{"keys":[]} rest …`},
		{"text/html", "<p>no such token " + needle + " or " + url.QueryEscape(needle) + "\x00\x1b[31m", "<p>no such token … or …  [31m"},
		{"text/plain", base64.StdEncoding.EncodeToString([]byte(needle)), "…"},
		{"", "", ""},
		{"text/plain", `{"access_token":"LIVE-1","expires_in":3600,"refreshToken": "LIVE-2", "x": "y"}`, `{"access_token":…,"expires_in":3600,"refreshToken": …, "x": "y"}`},
		{"application/json", `{"id_token":["LIVE-1"],"refreshToken":"LIVE-2","token_type":"Bearer","tokens":{"a":"LIVE-3"},"token_endpoint":"https://h"}`, `{"id_token":"…","refreshToken":"…","token_endpoint":"https://h","token_type":"Bearer","tokens":"…"}`},
		{"application/x-www-form-urlencoded", "refresh_token=LIVE-1&token_type=bearer&x=y", "refresh_token=…&token_type=…&x=y"},
		{"application/json", "\ufeff" + `{"access_token":"LIVE-1"} trailing`, ` {"access_token":…} trailing`},
		{"text/html", "p%2ba%2fs+%22s%c3%a4w%c3%b6rd and p+a/s &#34;sä" + `wörd`, "… and …"},
		{"text/html", `{"x":"p+a\/s \"sä` + `wörd"`, `{"x":"…"`},
	} {
		x := exchange(t, post("text/plain", "x"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{c.contentType}
			_, _ = io.WriteString(w, c.body)
		})
		if strings.Contains(x.GetReceived(), "LIVE") {
			t.Errorf("%s: %q", c.contentType, x.GetReceived())
		}
		if x.GetReceived() != c.want || x.GetCut() {
			t.Errorf("%s: %q, want %q", c.contentType, x.GetReceived(), c.want)
		}
	}
}

// TestALongReplyIsCut, and no part of a secret stands at the cut.
func TestALongReplyIsCut(t *testing.T) {
	t.Parallel()
	for _, before := range []int{4<<10 - 5, 64<<10 - 5, 100 << 10} {
		x := exchange(t, post("text/plain", "x"), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", before)+needle+strings.Repeat("y", 100<<10))
		})
		if !x.GetCut() || len(x.GetReceived()) > 4<<10 || strings.Contains(x.GetReceived(), "p+a") {
			t.Errorf("%d: %d bytes, %t", before, len(x.GetReceived()), x.GetCut())
		}
	}
}

// TestWhatIsSentIsNotShownWhenItComesBack, in whatever form it was sent.
func TestWhatIsSentIsNotShownWhenItComesBack(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("bob1:LIVE-password"))
	x := exchange(t, post("text/plain", "x", "Authorization", "Basic "+basic), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "got "+r.Header.Get("Authorization")+" or LIVE-password")
	})
	if x.GetReceived() != "got Basic … or …" {
		t.Errorf("%q", x.GetReceived())
	}
}

func TestCallsThatFailAreNoted(t *testing.T) {
	t.Parallel()
	w := &witness.Witness{Why: func(error) string { return "nobody is there" }}
	client := w.Over(&http.Client{Transport: refusing{}})
	for range 40 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://provider.example.com/"+needle, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(r); err == nil {
			_ = resp.Body.Close()
			t.Fatal("answered")
		}
	}
	all := w.Exchanges()
	if len(all) != 32 || all[0].GetProblem() != "nobody is there" || all[0].GetStatus() != 0 {
		t.Errorf("%d: %v", len(all), all[0])
	}
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }
