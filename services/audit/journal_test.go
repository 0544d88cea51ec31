package audit

import (
	"net/http"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
)

// TestAdminsAreInTheTrail: who searches here, and who is refused, also when NATS is away at that moment.
func TestAdminsAreInTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.SignInEvery = 0 })
	w.issueAdminToken(t, adminauth.RoleTokenManager)
	await(t, "the token manager is known", func() bool {
		status, _ := in.getAs(t, adminauth.RoleTokenManager, "")
		return status == http.StatusForbidden
	})
	w.nats.Stop()
	for range 3 {
		if status, _ := in.get(t, ""); status != http.StatusOK {
			t.Errorf("an admin is refused: %d", status)
		}
	}
	w.nats.Start(t)
	said := func() string {
		return row[string](t, w.url, `SELECT coalesce(string_agg(DISTINCT kind || ' ' || "user" || ' ' || source || ' ' || status || ' ' || path, ', '), '')
			FROM audit.actions WHERE kind LIKE 'admin.%' AND reason IN ('wrong_role', 'signed_in')`)
	}
	want := "admin.refused token-manager audit 403 /api/v1/audit/events, admin.signed_in bootstrap audit 0 /api/v1/audit/events"
	await(t, want, func() bool { return said() == want })
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'admin.signed_in'`); n != 1 {
		t.Errorf("%d sign-ins", n)
	}
}
