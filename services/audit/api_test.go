package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
)

// history is 30 calls in partitions of 10: even ones are alice's, odd ones bob's; every fifth is refused.
func history(t *testing.T) (*world, *instance) {
	t.Helper()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows = 10 })
	w.publish(t, batch("gw1", 1, 1, 30, func(n uint64, r *auditv1.Record) {
		if n%2 == 1 {
			r.User, r.ClientIp = "bob", "2001:db8::7"
		}
		if n%5 == 0 {
			r.Decision, r.Reason, r.Status = "deny", "token_inactive", 401
		}
	}))
	w.awaitCount(t, 30)
	return w, in
}

func ids(p reading.Page) []int64 {
	all := []int64{}
	for _, e := range p.Events {
		all = append(all, e.ID)
	}
	return all
}

func TestSearchPages(t *testing.T) {
	t.Parallel()
	_, in := history(t)
	for filter, want := range map[string][]int64{
		"":                         {30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1},
		"reason=token_inactive":    {30, 25, 20, 15, 10, 5},
		"status=401&user=bob":      {25, 15, 5},
		"decision=deny&user=alice": {30, 20, 10},
		"client_ip=2001:db8::/32":  {29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1},
		"client_ip=192.0.2.7&to=2026-01-02T03:00:00.005Z":           {4, 2},
		"request_id=gw1-1-17":                                       {17},
		"user=nobody":                                               {},
		"from=2026-01-02T03:00:00.012Z&to=2026-01-02T03:00:00.015Z": {14, 13, 12},
		"from=2026-01-02T05:00:00.012%2B02:00&to=2026-01-02T03:00:00.013Z&site=jira&gateway=gw1&node=n1&method=GET&credential=oauth&provider=corp&outcome=completed&client_id=ci-bot": {12},
	} {
		for _, order := range []string{"desc", "asc"} {
			want := slices.Clone(want)
			if order == "asc" {
				slices.Reverse(want)
			}
			got, cursor := []int64{}, ""
			for pages := 0; ; pages++ {
				p := in.search(t, filter+"&limit=7&order="+order+"&cursor="+cursor)
				got = append(got, ids(p)...)
				if !regexp.MustCompile(`^[A-Za-z0-9_-]*$`).MatchString(p.Next) {
					t.Fatalf("next is %q", p.Next)
				}
				cursor = p.Next
				if cursor == "" || order == "asc" && len(p.Events) == 0 || pages > 40 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s: %v, want %v", filter, order, got, want)
			}
		}
	}
}

func TestSearchTails(t *testing.T) {
	t.Parallel()
	w, in := history(t)
	p := in.search(t, "order=asc&limit=1000&user=bob")
	if len(p.Events) != 15 || p.Next != "" || p.Resume == "" {
		t.Fatalf("%d events, next %q", len(p.Events), p.Resume)
	}
	again := in.search(t, "order=asc&user=bob&cursor="+p.Resume)
	if len(again.Events) != 0 || again.Next != "" || again.Resume == "" {
		t.Fatalf("%d events, next %q", len(again.Events), again.Resume)
	}
	w.publish(t, batch("gw1", 1, 31, 32, func(_ uint64, r *auditv1.Record) { r.User = "bob" }))
	w.awaitCount(t, 32)
	if p := in.search(t, "order=asc&user=bob&cursor="+again.Resume); !slices.Equal(ids(p), []int64{31, 32}) {
		t.Errorf("found %v", ids(p))
	}
}

// A search that has used up its time gives what it has and where to go on.
func TestSearchStopsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows, s.Intervals.Search = 10, time.Nanosecond })
	w.publish(t, batch("gw1", 1, 1, 30))
	w.awaitCount(t, 30)
	for order, want := range map[string]int{"desc": 3, "asc": 3} {
		var got []int64
		pages, cursor := 0, ""
		for ; pages < 3; pages++ {
			p := in.search(t, "limit=100&order="+order+"&cursor="+cursor)
			got, cursor = append(got, ids(p)...), p.Next
		}
		if len(got) != 30 || pages != want || cursor != "" {
			t.Errorf("%s: %d events on %d pages, next %q", order, len(got), pages, cursor)
		}
	}
}

// A slow search is given up by the database, and hurts nobody else.
func TestSearchTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec(t, w.url, `CREATE FUNCTION audit.slow(t text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT t FROM pg_sleep(5)';
		ALTER VIEW audit.records RENAME TO fast; CREATE VIEW audit.records AS SELECT * FROM audit.fast WHERE audit.slow(site) = site`)
	in := w.start(t, func(s *Settings) { s.SearchTimeout, s.Searches = 50*time.Millisecond, 1 })
	w.publish(t, batch("gw1", 1, 1, 3))
	w.awaitCount(t, 3)
	status, body := in.get(t, "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "too long") {
		t.Errorf("%d %s", status, body)
	}
	w.publish(t, batch("gw1", 1, 4, 5))
	w.awaitCount(t, 5)
}

func TestBadParametersAreNamed(t *testing.T) {
	t.Parallel()
	_, in := history(t)
	other := in.search(t, "limit=1&user=alice").Next
	for query, parameter := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "limit=5&limit=6": "limit", "min_duration=fast": "min_duration", "n=-1": "n", "epoch=x": "epoch",
		"from=yesterday": "from", "to=2026-01-02": "to", "from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z": "to",
		"order=random": "order", "status=ok": "status", "status=500-400": "status", "status=0xx": "status", "client_ip=localhost": "client_ip", "sight=jira": "sight",
		"user=%00": "user", "user=a&user=%00": "user", "user=%ff": "user", "cursor=abc": "cursor", "cursor=%27": "cursor", "cursor=" + other: "cursor",
		"from=0000-01-01T00:00:00Z": "from", "user=" + strings.Repeat("x", 5000): "user",
	} {
		status, body := in.get(t, query)
		var problem struct {
			Code     string
			Problems []struct{ Path string }
		}
		if err := json.Unmarshal([]byte(body), &problem); err != nil {
			t.Fatal(err)
		}
		if status != http.StatusBadRequest || problem.Code != "invalid" || len(problem.Problems) != 1 || problem.Problems[0].Path != parameter {
			t.Errorf("%.80s: %d %.300s", query, status, body)
		}
	}
	if status, _ := in.get(t, "limit=%zz"); status != http.StatusBadRequest {
		t.Errorf("broken query: %d", status)
	}
	if p := in.search(t, "user="+url.QueryEscape(`'; DROP TABLE audit.call; --`)); len(p.Events) != 0 {
		t.Errorf("found %v", ids(p))
	}
}

func TestEventNames(t *testing.T) {
	t.Parallel()
	_, in := history(t)
	_, body := in.get(t, "limit=1")
	var answer struct{ Events []map[string]any }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Events) != 1 {
		t.Fatal(err, body)
	}
	for name, want := range map[string]any{
		"id": 30.0, "time": "2026-01-02T03:00:00.03Z", "request_id": "gw1-1-30", "site": "jira", "gateway": "gw1", "node": "n1",
		"config_version": 7.0, "credential": "oauth", "client_id": "ci-bot", "user": "alice", "decision": "deny", "reason": "token_inactive",
		"observed": "", "status": 401.0, "outcome": "completed", "method": "GET", "path": "/rest/api/2/myself", "client_ip": "192.0.2.7",
		"epoch": "1", "n": 30.0, "duration_ns": 3e6,
	} {
		if got, ok := answer.Events[0][name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// A call whose decision came first is one row: its outcome's, once that has come.
func TestOneRowACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t, batch("gw1", 1, 1, 2, func(n uint64, r *auditv1.Record) {
		if n == 1 {
			r.Outcome, r.Status = "open", 0
		}
	}))
	w.awaitCount(t, 2)
	if p := in.search(t, "order=asc"); !slices.Equal(ids(p), []int64{1, 2}) || p.Events[0].Outcome != "open" {
		t.Fatalf("%+v", p)
	}
	w.publish(t, batch("gw1", 1, 3, 3, func(_ uint64, r *auditv1.Record) { r.Opened, r.RequestId = 1, "gw1-1-1" }))
	w.awaitCount(t, 3)
	if p := in.search(t, ""); !slices.Equal(ids(p), []int64{3, 2}) || p.Events[0].Outcome != "completed" || p.Events[0].RequestID != "gw1-1-1" {
		t.Errorf("%+v", p)
	}
}

func TestWhoMaySearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	in.awaitReady(t)
	for header, want := range map[string]int{
		"": http.StatusUnauthorized, "Bearer wrong": http.StatusUnauthorized, "Basic Zmlyc3Q6YWRtaW4=": http.StatusUnauthorized,
		"Bearer " + adminToken: http.StatusOK,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.base+"/api/v1/audit/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		await(t, fmt.Sprintf("%q: %d", header, want), func() bool { status, _ := do(t, r); return status == want })
	}
	for _, role := range []string{adminauth.RoleAuditor, adminauth.RoleTokenManager} {
		w.issueAdminToken(t, role)
	}
	await(t, "the auditor is known", func() bool { status, _ := in.getAs(t, adminauth.RoleAuditor, ""); return status == http.StatusOK })
	await(t, "the token manager is known, and may not", func() bool {
		status, _ := in.getAs(t, adminauth.RoleTokenManager, "")
		return status == http.StatusForbidden
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, in.base+"/api/v1/audit/events", nil)
	if status, _ := do(t, r); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", status)
	}
	r, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, in.base+"/api/v1/nothing", nil)
	if status, _ := do(t, r); status != http.StatusNotFound {
		t.Errorf("elsewhere: %d", status)
	}
}

// issueAdminToken puts a token with the role's name into the configuration log.
func (w *world) issueAdminToken(t testing.TB, role string) {
	t.Helper()
	hash := adminauth.Hash(role)
	data, err := factlog.Encode(&configv1.Commit{Why: role}, []proto.Message{&configv1.AdminTokenIssued{Name: role, Role: role, TokenSha256: hash[:]}})
	if err != nil {
		t.Fatal(err)
	}
	log := eventlog.New(w.nats.JetStream(t, topology.Config), topology.ConfigLog(), eventlog.Options{})
	for at := (eventlog.State{}); ; {
		_, err := log.Append(t.Context(), at, data)
		var conflict *eventlog.ConflictError
		if !errors.As(err, &conflict) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		at = conflict.Found
	}
}
