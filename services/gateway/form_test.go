package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
)

// TestACredentialInAForm is one no row has seen: it reaches no node, whatever else the call carries.
func TestACredentialInAForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(&configv1.MethodsSet{Site: "jira", Oauth: true, Pat: true}) // Basic is off
	const form = "application/x-www-form-urlencoded"
	long := strings.Repeat("a=b&", 64<<10)
	token := "Bearer " + w.token()
	attempts := w.lab.Jira.PasswordAttempts("alice")
	for _, c := range []struct {
		name, body, path string
		status           int
		header           []string
	}{
		{"plain", "os_username=alice&os_password=alice-password", echo, 400, nil},
		{"escaped", "x=1&%6fs_username=alice&os%5Fpassword=alice-password", echo, 400, nil},
		{"half in the query", "os_password=alice-password", echo + "?os_username=alice", 400, nil},
		{"behind much else", long + "os_username=alice&os_password=alice-password", echo, 400, nil},
		{"with a session", "os_username=alice&os_password=alice-password", echo, 400, []string{"Cookie", "JSESSIONID=1"}},
		{"with a token", "os_username=alice&os_password=alice-password", echo, 400, []string{"Authorization", token}},
		{"in a case of its own", "os_username=alice&os_password=alice-password", echo, 400, []string{"Content-Type", " Application/X-WWW-form-urlencoded ; charset=UTF-8"}},
		{"in EBCDIC", "%96%A2%6D%A4%A2%85%99%95%81%94%85=alice", echo, 400, []string{"Content-Type", form + "; charset=IBM037"}},
		{"in EBCDIC, in the query", "{}", echo + "?%96%A2%6D%A4%A2%85%99%95%81%94%85=alice", 400, []string{"Content-Type", "application/json;charset=\"IBM037\""}},
		{"a signature", "oauth_consumer_key=wiki&oauth_token=&oauth_signature_method=RSA-SHA1&oauth_signature=x&oauth_timestamp=1&oauth_nonce=1", echo, 400, nil},
		{"a signature with a token", "a=b&oauth%5Fsignature=x", echo, 400, []string{"Authorization", token}},
		{"a form without", "a=b&os_destination=%2F", echo, 200, nil},
		{"a long form without", long, echo, 200, []string{"Authorization", token}},
		{"no form", "os_username=alice&os_password=alice-password", echo, 200, []string{"Content-Type", "text/plain"}},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(c.body)
			if chunked {
				body = iotest.OneByteReader(body)
				if len(c.body) > 1<<10 {
					body = io.MultiReader(strings.NewReader(c.body))
				}
			}
			header := append([]string{"X-Atlassian-Token", "no-check"}, c.header...)
			if !strings.Contains(strings.Join(header, " "), "Content-Type") {
				header = append(header, "Content-Type", form)
			}
			resp, said := do(t, request(t, http.MethodPost, gw.url+c.path, body, header...))
			reason := ""
			if c.status == 400 {
				reason = "credential_malformed"
			}
			if resp.StatusCode != c.status || resp.Header.Get("X-Gatehouse-Reason") != reason {
				t.Errorf("%s, in chunks %t: %s %q, %.200s", c.name, chunked, resp.Status, resp.Header.Get("X-Gatehouse-Reason"), said)
			}
		}
	}
	if n := w.lab.Jira.PasswordAttempts("alice") - attempts; n != 0 {
		t.Errorf("the product judged %d passwords", n)
	}
	gw.person(t).login("bob") // the log-in itself is the product's
}
