package adminauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// desk is a door for admins, with a journal that writes to a real stream.
type desk struct {
	nats    *testkit.NATS
	handler http.Handler
	end     func() // and wait until all is recorded
}

func newDesk(t testing.TB, opts adminauth.JournalOptions, tokens ...configlog.AdminToken) *desk {
	t.Helper()
	d := &desk{nats: testkit.StartNATS(t)}
	trail := audittrail.NewRecorder(d.nats.JetStream(t, topology.Config), testkit.Logger(t), audittrail.FromConfig)
	opts.RequestID = func(r *http.Request) string { return "id of " + r.Method }
	journal := adminauth.NewJournal(testkit.Logger(t), trail, opts)
	auth := adminauth.New(testkit.Logger(t), adminauth.Hash("first"), snapshotWith(tokens...), journal)
	d.handler = auth.Middleware(adminauth.RoleAdmin)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var keeping, shipping sync.WaitGroup
	keeping.Go(func() { journal.Run(ctx) })
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	shipping.Go(func() { trail.Run(recording, 10*time.Second) })
	d.end = func() {
		cancel()
		keeping.Wait()
		stop()
		shipping.Wait()
	}
	t.Cleanup(d.end)
	return d
}

// recorded gives what is in the stream.
func (d *desk) recorded(t testing.TB) (all []*auditv1.Record) {
	t.Helper()
	stream, err := d.nats.JetStream(t, topology.Audit).Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		b := &auditv1.Batch{}
		if err := proto.Unmarshal(m.Data, b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.GetRecords()...)
	}
	return all
}

func counted(t testing.TB, r *auditv1.Record) int {
	t.Helper()
	var sum struct{ Count int }
	if err := json.Unmarshal([]byte(r.GetChange()), &sum); err != nil || sum.Count == 0 {
		return 1
	}
	return sum.Count
}

func TestSignInsAreInTheTrailBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	token := adminauth.NewToken()
	d := newDesk(t, adminauth.JournalOptions{Wait: 20 * time.Second}, configlog.AdminToken{Name: "alice", Role: adminauth.RoleAdmin, SHA256: adminauth.Hash(token)})
	for range 20 {
		for _, address := range []string{"192.0.2.7:1", "192.0.2.8:1"} {
			if w := call(d.handler, address, "Bearer "+token); w.Code != http.StatusOK {
				t.Fatal(w.Code)
			}
		}
	}
	got := d.recorded(t)
	if len(got) != 2 {
		t.Fatalf("%d sign-ins, want one for each address: %v", len(got), got)
	}
	r := got[0]
	if r.GetKind() != audittrail.AdminSignedIn || r.GetUser() != "alice" || r.GetClientIp() != "192.0.2.7" || r.GetClientIpSource() != "peer" ||
		r.GetMethod() != http.MethodGet || r.GetPath() != "/x" || r.GetRequestId() != "id of GET" || r.GetDecision() != "allow" ||
		r.GetReason() != "signed_in" || r.GetChange() != `{"role":"admin"}` || r.GetTime() == 0 || r.GetCredential() != "admin_token" {
		t.Errorf("got %v", r)
	}
	call(d.handler, "192.0.2.7:1", "Bearer first") // another token
	if got := d.recorded(t); len(got) != 3 || got[2].GetUser() != adminauth.Bootstrap {
		t.Errorf("got %v", got)
	}
}

func TestASignInIsOneAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adminauth.JournalOptions{Every: time.Nanosecond, Wait: 20 * time.Second})
	for range 3 {
		call(d.handler, "192.0.2.7:1", "Bearer first")
	}
	if got := d.recorded(t); len(got) != 3 {
		t.Errorf("%d sign-ins", len(got))
	}
	never := newDesk(t, adminauth.JournalOptions{Every: -1})
	call(never.handler, "192.0.2.7:1", "Bearer first")
	never.end()
	if got := never.recorded(t); len(got) != 0 {
		t.Errorf("%d sign-ins, want none", len(got))
	}
}

func TestTheTrailAwayRefusesNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adminauth.JournalOptions{Wait: 10 * time.Millisecond})
	d.nats.Stop()
	for range 5 {
		if w := call(d.handler, "192.0.2.7:1", "Bearer first"); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
		if w := call(d.handler, "192.0.2.7:1", "Bearer wrong"); w.Code != http.StatusUnauthorized {
			t.Fatal(w.Code)
		}
	}
	d.nats.Start(t)
	d.end()
	got := d.recorded(t)
	if len(got) != 3 || got[0].GetKind() != audittrail.AdminSignedIn || got[1].GetKind() != audittrail.AdminRefused || counted(t, got[2]) != 4 {
		t.Errorf("got %v", got)
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	auditor := adminauth.NewToken()
	d := newDesk(t, adminauth.JournalOptions{}, configlog.AdminToken{Name: "eve", Role: adminauth.RoleAuditor, SHA256: adminauth.Hash(auditor)})
	for _, header := range []string{"", "Bearer " + auditor, "Bearer wrong"} {
		call(d.handler, "192.0.2.7:1", header)
	}
	for range 30 { // until the address is locked out
		call(d.handler, "192.0.2.7:1", "Bearer wrong")
	}
	d.end()
	status, users, changes := map[string]uint32{}, map[string]string{}, map[string]string{}
	total := 0
	for _, r := range d.recorded(t) {
		if r.GetKind() != audittrail.AdminRefused || r.GetDecision() != "deny" || r.GetClientIp() != "192.0.2.7" || r.GetPath() != "/x" || r.GetMethod() != "GET" {
			t.Errorf("got %v", r)
		}
		status[r.GetReason()], users[r.GetReason()] = r.GetStatus(), r.GetUser()
		if r.GetReason() == "wrong_role" {
			changes[r.GetReason()] = r.GetChange()
		}
		total += counted(t, r)
	}
	if len(status) != 4 || status["no_token"] != 401 || status["bad_token"] != 401 || status["wrong_role"] != 403 || status["locked_out"] != 429 {
		t.Errorf("got %v", status)
	}
	if users["wrong_role"] != "eve" || users["bad_token"] != "" || changes["wrong_role"] != `{"role":"auditor"}` {
		t.Errorf("got %v %v", users, changes)
	}
	if total != 33 {
		t.Errorf("%d of 33 refusals are accounted for", total)
	}
}

// TestGuessingDoesNotFillTheTrail: 20,000 refusals from 10,000 addresses are about 200 records, and none is forgotten.
func TestGuessingDoesNotFillTheTrail(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adminauth.JournalOptions{})
	for i := range 20_000 {
		call(d.handler, fmt.Sprintf("10.1.%d.%d:1", i%10_000/250, i%250), "Bearer guess")
	}
	d.end()
	got := d.recorded(t)
	total := 0
	for _, r := range got {
		total += counted(t, r)
	}
	if len(got) > 208 || total != 20_000 {
		t.Errorf("%d refusals in %d records", total, len(got))
	}
	if !slices.ContainsFunc(got, func(r *auditv1.Record) bool { return r.GetClientIp() == "" && counted(t, r) > 10_000 }) {
		t.Error("the rest is not summed up")
	}
}

// TestABurstThatGoesOnIsSummedUpNowAndThen: without end, not once for each window anew.
func TestABurstThatGoesOnIsSummedUpNowAndThen(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adminauth.JournalOptions{Window: 20 * time.Millisecond})
	sent := 0
	testkit.Until(t, "three records", func() bool {
		call(d.handler, "192.0.2.7:1", "")
		sent++
		return len(d.recorded(t)) >= 3
	})
	d.end()
	total := 0
	for _, r := range d.recorded(t) {
		total += counted(t, r)
	}
	if total != sent {
		t.Errorf("%d of %d refusals are accounted for", total, sent)
	}
}
