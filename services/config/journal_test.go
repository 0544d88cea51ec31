package config

import (
	"net/http"
	"testing"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/proto"
)

// trail gives what the service has told the audit stream.
func trail(t testing.TB, n *testkit.NATS) (all []*auditv1.Record) {
	t.Helper()
	stream, err := n.JetStream(t, topology.Audit).Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		return nil // it is away
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		b := &auditv1.Batch{}
		if err := proto.Unmarshal(m.Data, b); err != nil || b.GetGateway() != audittrail.FromConfig {
			t.Fatalf("%s: %v", b.GetGateway(), err)
		}
		all = append(all, b.GetRecords()...)
	}
	return all
}

func TestAdminsAreInTheTrail(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	for range 3 {
		i.get("config", "X-Request-Id", "r1").want(http.StatusOK)
	}
	_, auditor := i.issue("eve", adminauth.RoleAuditor, "")
	i.call(http.MethodPut, "config", simple(1), "Authorization", auditor, "If-Match", "*", "X-Request-Id", "r2", "User-Agent", "curl/8").want(http.StatusForbidden)
	i.get("config", "Authorization", "Bearer wrong").want(http.StatusUnauthorized)
	i.until("three records", func() bool { return len(trail(t, n)) == 3 })
	got := trail(t, n)
	if got[0].GetKind() != audittrail.AdminSignedIn || got[0].GetUser() != adminauth.Bootstrap || got[0].GetPath() != "/api/v1/config" || got[0].GetClientIp() != "127.0.0.1" {
		t.Errorf("got %v", got[0])
	}
	if r := got[1]; r.GetKind() != audittrail.AdminRefused || r.GetUser() != "eve" || r.GetMethod() != http.MethodPut || r.GetRequestId() != "r2" ||
		r.GetStatus() != http.StatusForbidden || r.GetUserAgent() != "curl/8" || r.GetReason() != "wrong_role" {
		t.Errorf("got %v", r)
	}
	if r := got[2]; r.GetReason() != "bad_token" || r.GetUser() != "" || r.GetStatus() != http.StatusUnauthorized {
		t.Errorf("got %v", r)
	}
}

// TestTrailAway: nobody is refused because the trail takes nothing; what waits is there when it does again, also when
// the service ends first.
func TestTrailAway(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	if err := n.JetStream(t, topology.Operator).DeleteStream(t.Context(), topology.StreamAudit); err != nil {
		t.Fatal(err)
	}
	_, admin := i.issue("alice", adminauth.RoleAdmin, "")
	i.get("config", "Authorization", admin).want(http.StatusOK)
	i.call(http.MethodPut, "config", simple(5), "Authorization", admin, "If-Match", "*").changed()
	if err := topology.Ensure(t.Context(), n.JetStream(t, topology.Config), topology.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	got := trail(t, n)
	if len(got) != 1 || got[0].GetUser() != "alice" || got[0].GetKind() != audittrail.AdminSignedIn {
		t.Errorf("got %v", got)
	}
}
