package suite_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// TestAnAPITokenFromItsFirstCallToItsLast: issued by the admin API, taken by the gateway at once, tried, and refused from the answer on
// that it is revoked.
func TestAnAPITokenFromItsFirstCallToItsLast(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	for round := range 5 {
		var made struct {
			ID, Token string
			Pending   []string
		}
		resp, body := r.admin(http.MethodPost, "tokens", "", fmt.Sprintf(`{"name":"round %d","owner":"svc-api","site":"jira","read_only":true}`, round))
		if err := json.Unmarshal([]byte(body), &made); err != nil || resp.StatusCode != http.StatusCreated || len(made.Pending) > 0 {
			t.Fatalf("%s %s", resp.Status, body)
		}
		resp, _ = r.call("/rest/api/2/myself", "Bearer "+made.Token)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("X-AUSERNAME") != "svc-api" {
			t.Fatalf("round %d: %s as %q", round, resp.Status, resp.Header.Get("X-AUSERNAME"))
		}
		if called := r.recorded(resp.Header.Get("X-Gatehouse-Request-Id")); called.Fingerprint != made.ID {
			t.Errorf("%+v", called)
		}
		if a := r.try("jira", map[string]any{"type": "api_token", "token": made.Token, "method": "POST", "path": "/rest/api/2/issue"}); a.Reason != "read_only" || a.Credential != "api_token" || len(a.Warnings) > 0 {
			t.Errorf("%+v", a)
		}
		if resp, body := r.admin(http.MethodDelete, "tokens/"+made.ID, "", ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", resp.Status, body)
		}
		if resp, _ := r.call("/rest/api/2/myself", "Bearer "+made.Token); resp.Header.Get("X-Gatehouse-Reason") != "token_inactive" {
			t.Fatalf("round %d: revoked, and %s", round, resp.Status)
		}
	}
}
