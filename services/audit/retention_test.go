package audit

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
)

// ask makes a request of the API below audit/.
func (in *instance) ask(t testing.TB, method, token, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, in.base+"/api/v1/audit/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return do(t, r)
}

// told asks for something that must be answered so, and reads the answer.
func told[T any](t testing.TB, in *instance, want int, method, path, body string) (answer T) {
	t.Helper()
	status, text := in.ask(t, method, adminToken, path, body)
	if status != want {
		t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

type outcome struct {
	Records, Partitions, Held int64
	AskedBy                   string `json:"asked_by"`
	DryRun                    bool   `json:"dry_run"`
	Ended                     *time.Time
	Stays                     *struct{ Records int64 }
}

// TestRetention: an admin looks what would go, holds something, has the rest removed, and all of it is in the trail.
func TestRetention(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows, s.Intervals.Retention = 50, 10*time.Millisecond })
	at := audittrail.Genesis(audittrail.Hash{}, "gw1", 1)
	for k := range uint64(20) {
		var b *auditv1.Batch
		b, at = chained(at, batch("gw1", 1, k*20+1, k*20+20))
		w.publish(t, b)
		w.awaitCount(t, int64(k*20+20)) // so that each is a run of its own
	}
	c := w.writer(t)
	c.commit("less", &configv1.RetentionSet{MaxEntries: 100_000, Every: durationpb.New(time.Hour)})
	w.awaitCopied(t, c.at)
	w.awaitCommits(t, 1)

	dry := told[outcome](t, in, http.StatusOK, http.MethodPost, "retention/run?dry_run=true&max_entries=100&max_days=0", "")
	if !dry.DryRun || dry.Records != 300 || dry.Stays.Records != 101 || w.count(t) != 401 {
		t.Fatalf("%+v", dry)
	}
	same := told[outcome](t, in, http.StatusOK, http.MethodPost, "retention/run", `{"dry_run":true,"max_entries":100,"max_days":0}`)
	if !same.DryRun || same.Records != 300 || w.count(t) != 401 {
		t.Fatalf("asked in the body: %+v", same)
	}
	hold := told[struct{ ID int64 }](t, in, http.StatusCreated, http.MethodPost, "holds", `{"user":"alice","to":"2026-01-02T03:00:00.030Z","reason":"case 4711"}`)
	c.commit("even less", &configv1.RetentionSet{MaxEntries: 100, Every: durationpb.New(time.Hour)})
	w.awaitCopied(t, c.at)
	w.awaitCommits(t, 2)
	await(t, "the hold is in the trail", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'audit.hold_set'`) == 1
	})
	before := w.count(t)
	out := told[outcome](t, in, http.StatusOK, http.MethodPost, "retention/run", "")
	if out.Records == 0 || out.Held == 0 || out.AskedBy != adminauth.Bootstrap || out.Ended == nil {
		t.Fatalf("%+v", out)
	}
	if after := w.count(t); after < before-out.Records || after > before-out.Records+1 { // the run is recorded itself
		t.Errorf("%d, then %d: %+v", before, after, out)
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.events WHERE "user" = 'alice' AND time < '2026-01-02T03:00:00.030Z'`); n == 0 {
		t.Error("what was held is gone")
	}
	w.wantVerified(t, in, 2) // what is held, and what is new
	await(t, "the run is in the trail", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'audit.retention_run'`) == 1
	})
	shown := told[struct {
		Records, Holds int64
		Runs           []outcome
		Policy         struct {
			MaxEntries uint64 `json:"max_entries"`
			Every      string
		}
		Next *time.Time
	}](t, in, http.StatusOK, http.MethodGet, "retention", "")
	if shown.Records != w.count(t) || shown.Holds != 1 || shown.Runs[0].Records != out.Records || shown.Policy.MaxEntries != 100 || shown.Policy.Every != "1h" {
		t.Errorf("%+v, with %d there", shown, w.count(t))
	}
	told[struct{}](t, in, http.StatusOK, http.MethodDelete, "holds/"+jsonNumber(hold.ID), "")
	if status, text := in.ask(t, http.MethodDelete, adminToken, "holds/"+jsonNumber(hold.ID), ""); status != http.StatusNotFound {
		t.Errorf("lifted twice: %d %s", status, text)
	}
	if again := told[outcome](t, in, http.StatusOK, http.MethodPost, "retention/run", ""); again.Records != out.Held {
		t.Errorf("%+v", again)
	}
	w.wantVerified(t, in, 1)
	if n := in.metric(t, "gatehouse_audit_retention_removed_records_total"); int64(n) < out.Records+out.Held {
		t.Errorf("%v removed", n)
	}
	all := told[struct {
		Holds []struct {
			LiftedBy string `json:"lifted_by"`
		}
	}](t, in, http.StatusOK, http.MethodGet, "holds?all=true", "")
	if len(all.Holds) != 1 || all.Holds[0].LiftedBy == "" {
		t.Errorf("%+v", all)
	}
	next, _ := chained(at, batch("gw1", 1, 401, 500))
	w.publish(t, next) // and on it goes
	await(t, "the next calls", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.events WHERE n BETWEEN 401 AND 500`) == 100
	})
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.hole`) + row[int](t, w.url, `SELECT count(*) FROM audit.conflict`); n > 0 {
		t.Errorf("%d holes and conflicts", n)
	}
}

// wantVerified makes sure that what stays of gateway gw1 verifies, in so many pieces between what retention has removed.
func (w *world) wantVerified(t *testing.T, in *instance, pieces int) {
	t.Helper()
	v := told[reading.Verified](t, in, http.StatusOK, http.MethodGet, "verify?gateway=gw1", "")
	if !v.OK || v.Next != "" || v.Records == 0 || v.Unchained != 0 || len(v.Removed) != 1 {
		t.Errorf("%+v", v)
	}
	n := row[int](t, w.url, `SELECT count(*) FROM (SELECT first_n, lag(last_n) OVER (ORDER BY first_n) AS before FROM audit.run WHERE gateway = 'gw1') r
		WHERE before IS DISTINCT FROM first_n - 1`)
	if n != pieces {
		t.Errorf("%d pieces, not %d", n, pieces)
	}
}

func jsonNumber(n int64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// TestRetentionRefuses what is not as it can be, naming it, and whoever may not.
func TestRetentionRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.issueAdminToken(t, adminauth.RoleAuditor)
	in.awaitReady(t)
	await(t, "the auditor is known", func() bool {
		status, _ := in.ask(t, http.MethodGet, adminauth.RoleAuditor, "holds", "")
		return status == http.StatusOK
	})
	for _, c := range []struct {
		method, path, body, names string
	}{
		{http.MethodPost, "retention/run?dry_run=maybe", "", "dry_run"},
		{http.MethodPost, "retention/run?max_days=3", "", "max_days"},
		{http.MethodPost, "retention/run?dry_run=true&max_days=-1", "", "max_days"},
		{http.MethodPost, "retention/run?dry_run=true&days=1", "", "days"},
		{http.MethodPost, "retention/run", `{"dry_run":"yes"}`, "dry_run"},
		{http.MethodPost, "retention/run", `{"dry_run":null}`, "dry_run"},
		{http.MethodPost, "retention/run", `{"max_days":3}`, "max_days"},
		{http.MethodPost, "retention/run", `{"dryrun":true}`, "dryrun"},
		{http.MethodPost, "retention/run?dry_run=false", `{"dry_run":true}`, "dry_run"},
		{http.MethodPost, "retention/run", `dry_run=true`, "body"},
		{http.MethodPost, "retention/run", `null`, "body"},
		{http.MethodPost, "retention/run", `{"dry_run":true}{}`, "body"},
		{http.MethodPost, "holds", `{}`, "reason"},
		{http.MethodPost, "holds", `{"reason":"x","from":"yesterday"}`, "from"},
		{http.MethodPost, "holds", `{"reason":"x","from":"2026-02-01T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, "to"},
		{http.MethodPost, "holds", `{"reason":"x","usr":"alice"}`, "usr"},
		{http.MethodPost, "holds", `{"reason":"x","user":"` + strings.Repeat("x", 300) + `"}`, "user"},
		{http.MethodPost, "holds", `{"reason":"a\u0000b"}`, "reason"},
		{http.MethodPost, "holds", `{"reason":"x"}{"reason":"y"}`, "follows"},
		{http.MethodPost, "holds", `not json`, "cannot be read"},
		{http.MethodGet, "holds?all=perhaps", "", "all"},
	} {
		status, text := in.ask(t, c.method, adminToken, c.path, c.body)
		if status != http.StatusBadRequest || !strings.Contains(text, c.names) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, text)
		}
	}
	for method, path := range map[string]string{http.MethodPost: "retention/run", http.MethodDelete: "holds/1"} {
		if status, _ := in.ask(t, method, adminauth.RoleAuditor, path, ""); status != http.StatusForbidden {
			t.Errorf("%s %s as an auditor: %d", method, path, status)
		}
	}
	for _, id := range []string{"0", "7", "x", "9223372036854775808"} {
		if status, _ := in.ask(t, http.MethodDelete, adminToken, "holds/"+id, ""); status != http.StatusNotFound {
			t.Errorf("hold %s: %d", id, status)
		}
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.hold`); n != 0 {
		t.Errorf("%d holds", n)
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.retention_run WHERE asked_by <> ''`); n != 0 {
		t.Errorf("%d runs were made of what was refused", n)
	}
}
