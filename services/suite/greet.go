package suite

import (
	"fmt"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// greeting is what is printed once the suite runs: what to do next.
func (u *Suite) greeting() string {
	token := u.tokenFile()
	text := fmt.Sprintf("\nGatehouse runs.  gateway http://%s   admin API http://%s\n", u.Gateway, u.Admin)
	switch {
	case u.settings.AdminToken != "":
		text += "First admin's token: the one in GATEHOUSE_ADMIN_TOKEN; set it in the other terminal too\n"
	case u.tokenIsNew:
		text += "First admin's token, shown this once and kept in " + token + ": " + u.AdminToken + "\n"
	default:
		text += "First admin's token: in " + token + "\n"
	}
	if u.Lab == nil {
		return text + "Ctrl-C stops it; the data stays in " + u.DataDir() + "\n\n"
	}
	admin := `"Authorization: Bearer $(cat '` + token + `')"`
	if u.settings.AdminToken != "" {
		admin = `"Authorization: Bearer $GATEHOUSE_ADMIN_TOKEN"`
	}
	return text + strings.NewReplacer(
		"GATEWAY", "http://"+u.Gateway.String(), "ADMIN", "http://"+u.Admin.String(),
		"TOKENURL", u.Lab.Provider.TokenEndpoint(), "CLIENT", lab.ClientID+":"+lab.ClientSecret, "AUTH", admin,
	).Replace(`
Paste these into another terminal:

1. A token of the provider, by client credentials:
   TOKEN=$(curl -s -u CLIENT -d grant_type=client_credentials --data-urlencode 'scope=read write' TOKENURL | sed -E 's/.*"access_token":"([^"]+)".*/\1/')

2. A call with it is let through, as the service account svc-api:
   curl -s -H "Authorization: Bearer $TOKEN" GATEWAY/rest/api/2/myself

3. A wrong token is refused, with its reason:
   curl -si -H "Authorization: Bearer wrong" GATEWAY/rest/api/2/myself

4. Both are in the audit trail (a record takes about a tenth of a second to get there):
   sleep 1; curl -s -H AUTH 'ADMIN/api/v1/audit/events?kind=call&limit=2'

5. Switch OAuth tokens off; the next call obeys (put true back the same way):
   FILE=$(mktemp); ETAG=$(curl -s -o $FILE -w '%header{etag}' -H AUTH ADMIN/api/v1/config)
   sed -E 's/"oauth": ?true/"oauth": false/' $FILE | curl -s -X PUT -H AUTH -H "If-Match: $ETAG" -H 'Content-Type: application/json' --data-binary @- 'ADMIN/api/v1/config?wait=applied&why=trying'
   curl -s -H "Authorization: Bearer $TOKEN" GATEWAY/rest/api/2/myself

Ctrl-C stops it; the data stays in `) + u.DataDir() + "\n\n"
}
