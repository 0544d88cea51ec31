package audit

import (
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/proto"
)

func TestRecordsAreStoredMarkedAndPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	marks, err := w.gateway.Conn().SubscribeSync(topology.AuditCommitted + ".gw1")
	if err != nil {
		t.Fatal(err)
	}
	in := w.start(t)
	w.publish(t, batch("gw1", 5, 1, 3), batch("gw2", 9, 1, 2), batch("gw1", 5, 4, 4))
	w.awaitCount(t, 6)
	w.exact(t)
	await(t, "mark 4", func() bool {
		msg, err := marks.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var mark auditv1.Committed
		if err := proto.Unmarshal(msg.Data, &mark); err != nil || mark.GetEpoch() != 5 || mark.GetMissingTo() != 0 {
			t.Fatalf("mark %v, %v", &mark, err)
		}
		return mark.GetN() == 4
	})
	audit := w.nats.JetStream(t, topology.Audit)
	await(t, "the stream is purged", func() bool {
		s, err := audit.Stream(t.Context(), topology.StreamAudit)
		return err == nil && s.CachedInfo().State.Msgs == 0
	})
	for name, want := range map[string]float64{"rows_total": 6, "batches_total": 3, "duplicate_records_total": 0, "lag": 0, "active": 1, "database_up": 1} {
		if got := in.metric(t, "gatehouse_audit_"+name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
