package config

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// TestAGrantIsSwitchedOnlyWhenThatIsConfirmed: what stops working is named, and nothing changes before.
func TestAGrantIsSwitchedOnlyWhenThatIsConfirmed(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	doc := func(grant, providers string) string {
		return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"grant":%q,
			"upstream":{"accounts":{"svc-api":%s}},"providers":[%s]}]}`, grant, value("pat"), providers)
	}
	const corp = `{"id":"corp","issuer":"https://sso.example.com","audience":"jira","service_account":"svc-api"}`
	i.put(doc("client_credentials", "")).changed()
	i.put(doc("authorization_code", "")).changed() // there are no tokens that could stop working
	i.put(doc("client_credentials", corp)).changed()
	for _, query := range []string{"", "?dry_run=true"} {
		r := i.call(http.MethodPut, "config"+query, doc("authorization_code", corp), "If-Match", "*").want(http.StatusConflict)
		for _, word := range []string{"grant_switch", "sites[0].grant", "from client_credentials to authorization_code", "svc-api", "confirm=grant"} {
			if !strings.Contains(r.body, word) {
				t.Errorf("%s is not in %s", word, r.body)
			}
		}
	}
	if got := i.site().Grant; got != "client_credentials" {
		t.Errorf("it was switched to %s", got)
	}
	i.call(http.MethodPut, "config?confirm=yes", doc("jwt", corp), "If-Match", "*").want(http.StatusBadRequest)
	i.call(http.MethodPut, "config?confirm=grant", doc("authorization_code", corp), "If-Match", "*").changed()
	r := i.call(http.MethodPut, "config", doc("client_credentials", corp), "If-Match", "*").want(http.StatusConflict)
	if !strings.Contains(r.body, "not_a_client_token") {
		t.Errorf("%s", r.body)
	}
	back := `{"to":3}`
	i.call(http.MethodPost, "config/rollback", back, "If-Match", "*").want(http.StatusConflict)
	i.call(http.MethodPost, "config/rollback?confirm=grant", back, "If-Match", "*").changed()
	if got := i.site().Grant; got != "client_credentials" {
		t.Errorf("it was rolled back to %s", got)
	}
}
