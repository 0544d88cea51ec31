package retention

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/proto"
)

// start has a Keeper work until the test ends.
func start(t testing.TB, k *Keeper) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func TestMadeWhenDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(240, 1)
	w.policy = configlog.Retention{MaxDays: 5, Every: configlog.Duration(time.Hour)}
	k, _ := w.withTrail()
	start(t, k)
	testkit.Until(t, "the first run", func() bool { v := k.View(); return v.Last != nil && v.Last.Ended != nil && v.Next != nil })
	v := k.View()
	if v.Last.AskedBy != "" || v.Last.Records == 0 || v.Trouble != "" {
		t.Errorf("%+v", v.Last)
	}
	testkit.Until(t, "a next one in an hour", func() bool {
		v := k.View()
		return v.Next != nil && v.Next.Equal(v.Last.Began.Add(time.Hour))
	})
	w.exec(`UPDATE audit.retention_run SET began = began - interval '59 minutes 59.9 seconds'`)
	testkit.Until(t, "the next run", func() bool {
		return one[int](w, `SELECT count(*) FROM audit.retention_run WHERE ended IS NOT NULL`) == 2
	})
	if n := one[int](w, `SELECT count(*) FROM audit.retention_run WHERE records > 0`); n != 1 {
		t.Errorf("%d runs have removed something", n)
	}
}

// TestNotMade: by an instance that is not the active one, without a bound, or without a configuration, nothing is removed.
func TestNotMade(t *testing.T) {
	t.Parallel()
	soon := configlog.Retention{MaxDays: 5, Every: configlog.Duration(time.Second)}
	for name, change := range map[string]func(*Settings){
		"not active": func(s *Settings) {
			s.Active = func() bool { return false }
			s.Policy = func() (configlog.Retention, error) { return soon, nil }
		},
		"without a bound": func(*Settings) {},
		"no configuration": func(s *Settings) {
			s.Policy = func() (configlog.Retention, error) {
				return configlog.Retention{}, fault.New(fault.Unavailable, "the configuration was not loaded yet")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 40)
			w.fill(240, 1)
			polled := make(chan struct{}, 1000)
			k := w.newKeeper(change, func(s *Settings) {
				ask := s.Policy
				s.Policy = func() (configlog.Retention, error) { polled <- struct{}{}; return ask() }
			})
			start(t, k)
			for range 5 {
				<-polled
			}
			if n := one[int](w, `SELECT count(*) FROM audit.retention_run`); n != 0 {
				t.Errorf("%d runs", n)
			}
			if name == "no configuration" && k.View().Trouble != "the configuration was not loaded yet" {
				t.Errorf("trouble %q", k.View().Trouble)
			}
			if len(w.ids()) != 240 {
				t.Error("something went")
			}
		})
	}
}

// TestClockJumps: a clock that is a month ahead removes nothing, until somebody who knows better asks for it.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.policy = configlog.Retention{MaxDays: 5, Every: configlog.Duration(time.Hour)}
	w.obey(w.policy)
	w.exec(`UPDATE audit.retention_run SET began = began - interval '30 days', ended = ended - interval '30 days'`)
	w.fill(240, 1)
	k, _ := w.withTrail()
	start(t, k)
	testkit.Until(t, "trouble", func() bool { return strings.Contains(k.View().Trouble, "30 days ago") })
	if len(w.ids()) != 240 {
		t.Error("something went")
	}
	out, err := k.order(t.Context(), order{by: "alice", policy: w.policy})
	if err != nil || out.Records == 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	testkit.Until(t, "no trouble", func() bool { return k.View().Trouble == "" })
}

// TestTriedAgain: a run that fails is said, counted and made again.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(240, 1)
	w.policy = configlog.Retention{MaxDays: 5, Every: configlog.Duration(time.Hour)}
	w.exec(`ALTER TABLE audit.replaced RENAME TO hidden`)
	k, _ := w.withTrail()
	start(t, k)
	testkit.Until(t, "trouble", func() bool { return k.View().Trouble != "" })
	w.exec(`ALTER TABLE audit.hidden RENAME TO replaced`)
	testkit.Until(t, "a run that ends well", func() bool { return k.View().Trouble == "" })
	if n := one[int](w, `SELECT count(*) FROM audit.retention_run WHERE error <> ''`); n == 0 {
		t.Error("no run has failed")
	}
	stay, _ := w.model(due(*k.View().Last))
	w.wantLeft(stay)
}

// TestToldToTheTrail: what was done is recorded, also what was done while NATS was away.
func TestToldToTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.fill(240, 1)
	k, n := w.withTrail()
	n.Stop()
	start(t, k)
	w.policy = days(5)
	out, err := k.order(t.Context(), order{by: "alice", requestID: "req-1", address: "192.0.2.1", policy: days(5)})
	if err != nil || out.Ended == nil || out.Records == 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	if one[int](w, `SELECT count(*) FROM audit.unrecorded`) != 1 {
		t.Error("nothing to tell")
	}
	n.Start(t)
	testkit.Until(t, "the trail to be told", func() bool { return one[int](w, `SELECT count(*) FROM audit.unrecorded`) == 0 })
	s, err := n.JetStream(t, topology.Audit).Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	var all []*auditv1.Record
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var b auditv1.Batch
		if err := proto.Unmarshal(m.Data, &b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.GetRecords()...)
	}
	var change struct {
		Records int64 `json:"records"`
		Policy  Limits
	}
	if len(all) != 1 || json.Unmarshal([]byte(all[0].GetChange()), &change) != nil || change.Records != out.Records || change.Policy.MaxDays != 5 {
		t.Fatalf("told %v", all)
	}
	if r := all[0]; r.GetKind() != audittrail.RetentionRun || r.GetUser() != "alice" || r.GetRequestId() != "req-1" || r.GetClientIp() != "192.0.2.1" {
		t.Errorf("told %v", r)
	}
}

// TestOneDryRunAtATime: they are asked for by anybody, and each takes a connection.
func TestOneDryRunAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.keeper.dry <- struct{}{}
	ask := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/retention/run?dry_run=true", nil)
	if _, _, err := w.keeper.ask(ask); fault.CodeOf(err) != fault.Limited {
		t.Errorf("got %v", err)
	}
	<-w.keeper.dry
	if status, _, err := w.keeper.ask(ask); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	}
}
