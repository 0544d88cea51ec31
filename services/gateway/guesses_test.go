package gateway_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// TestTooManyUnknown: an address whose credentials are nobody's again and again is answered 429, and nobody is asked for it;
// credentials that are known, and other addresses, go on.
func TestTooManyUnknown(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	seq := w.commit(append(w.site(),
		&configv1.ReverseProxySet{Site: "jira", Header: "X-Forwarded-For", TrustedProxies: []string{"127.0.0.1"}})...)
	gw := w.gateway("", func(s *gateway.Settings) { s.UnknownBurst, s.UnknownPerSecond = 10, 0.1 })
	gw.reached(t, seq)
	call := func(from, authorization string) *http.Response {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, "Authorization", authorization, "X-Forwarded-For", from))
		return resp
	}
	good := "Bearer " + w.token()
	if resp := call("192.0.2.1", good); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	for i := range 10 {
		credential := fmt.Sprint("Bearer unknown-", i)
		if i%2 == 1 {
			credential = basic("alice", fmt.Sprint("wrong", i))
		}
		if i == 5 {
			for range 20 { // the same once more is no guess
				call("192.0.2.1", "Bearer unknown-0")
			}
		}
		if resp := call("192.0.2.1", credential); resp.StatusCode == http.StatusTooManyRequests {
			t.Fatalf("%d: %s", i, resp.Header.Get("X-Gatehouse-Reason"))
		}
	}
	asked := w.lab.Provider.Introspections()
	for i := range 20 {
		resp := call("192.0.2.1", fmt.Sprint("Bearer more-", i))
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("X-Gatehouse-Reason") != "too_many_unknown" || err != nil || wait < 1 || wait > 20 {
			t.Fatalf("%d: %s %v", i, resp.Status, resp.Header)
		}
	}
	if n := w.lab.Provider.Introspections() - asked; n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	if resp := call("192.0.2.1", good); resp.StatusCode != http.StatusOK {
		t.Errorf("a known one: %s", resp.Status)
	}
	if resp := call("192.0.2.2", "Bearer "+w.token()); resp.StatusCode != http.StatusOK {
		t.Errorf("another address: %s", resp.Status)
	}
	late := "Bearer " + w.token()
	if resp := call("192.0.2.1", late); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a new one from there: %s", resp.Status)
	}
	testkit.Until(t, "it to be judged again", func() bool { return call("192.0.2.1", late).StatusCode == http.StatusOK })
	for r := range w.audited() {
		if r.GetReason() == "too_many_unknown" {
			if r.GetClientIp() != "192.0.2.1" || r.GetStatus() != http.StatusTooManyRequests || r.GetDecision() != "deny" {
				t.Errorf("%v", r)
			}
			break
		}
	}
}
