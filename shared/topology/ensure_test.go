package topology_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func ensure(t testing.TB, js jetstream.JetStream, limits topology.Limits) {
	t.Helper()
	if err := topology.Ensure(t.Context(), js, limits); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureMakesWhatTheTableSays(t *testing.T) {
	t.Parallel()
	js := empty(t)
	ensure(t, js, topology.Limits{AuditBytes: 64 << 20})
	got := configs(t, js)
	for name, want := range map[string]string{ // subjects, storage, discard, deny delete and purge, bytes, age
		"CONFIG":      "[log.config] File DiscardNew true true -1 0s",
		"TOKENS":      "[log.tokens] File DiscardNew true true -1 0s",
		"AUDIT":       "[audit.in.*] File DiscardNew true false 67108864 0s",
		"RATE":        "[rate.t.>] Memory DiscardOld false false -1 2h0m0s",
		"KV_SECRETS":  "[$KV.SECRETS.>] File DiscardNew true false -1 0s",
		"KV_GATEWAYS": "[$KV.GATEWAYS.>] File DiscardNew true false -1 5m5s",
	} {
		c := got[name]
		if is := fmt.Sprintf("%v %s %s %t %t %d %s", c.Subjects, c.Storage, c.Discard, c.DenyDelete, c.DenyPurge, c.MaxBytes, c.MaxAge); is != want {
			t.Errorf("%s: %s, want %s", name, is, want)
		}
	}
	if c := got["RATE"]; !c.AllowMsgCounter || c.MaxMsgsPerSubject != 1 {
		t.Errorf("RATE: %+v", c)
	}
	if c := got["CONFIG"]; c.RePublish == nil || c.RePublish.Destination != topology.ConfigLog().Live || !c.AllowDirect {
		t.Errorf("CONFIG: %+v", c)
	}
}

func TestEnsureAgainChangesNothing(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	before := configs(t, js)
	ensure(t, js, topology.Limits{})
	n.Stop()
	n.Start(t)
	testkit.Until(t, "the connection to come back", func() bool { return topology.Ensure(t.Context(), js, topology.Limits{}) == nil })
	if diff := cmp.Diff(before, configs(t, js)); diff != "" {
		t.Fatal(diff)
	}
}

func TestManyEnsureAtOnce(t *testing.T) {
	t.Parallel()
	js := empty(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2 {
				if err := topology.Ensure(t.Context(), js, topology.Limits{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	fresh := empty(t)
	ensure(t, fresh, topology.Limits{})
	if diff := cmp.Diff(configs(t, fresh), configs(t, js)); diff != "" {
		t.Fatalf("not as made by one:\n%s", diff)
	}
}

func TestWhereThereIsLittleRoomTheAuditStreamIsSmaller(t *testing.T) {
	t.Parallel()
	js := openWith(t, 1<<30)
	for range 2 { // again changes nothing
		ensure(t, js, topology.Limits{})
		if got := configs(t, js)["AUDIT"].MaxBytes; got != 512<<20 {
			t.Fatalf("%d bytes", got)
		}
	}
	full := openWith(t, 32<<20) // not even the least
	err := topology.Ensure(t.Context(), full, topology.Limits{})
	if err == nil || !strings.Contains(err.Error(), "ensure stream AUDIT: ") {
		t.Fatalf("got %v", err)
	}
	for _, name := range streams() { // but everything else is there
		if _, err := full.Stream(t.Context(), name); (err != nil) != (name == "AUDIT") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnsureMendsLimits(t *testing.T) {
	t.Parallel()
	js := empty(t)
	ensure(t, js, topology.Limits{AuditBytes: 1 << 20, GatewayTTL: time.Minute})
	ensure(t, js, topology.Limits{AuditBytes: 2 << 20, GatewayTTL: 2 * time.Minute})
	if got := configs(t, js); got["AUDIT"].MaxBytes != 2<<20 || got["KV_GATEWAYS"].MaxAge != 2*time.Minute {
		t.Fatalf("%+v", got)
	}
}

func TestAFullAuditStreamRefusesAndASmallerLimitDropsNothing(t *testing.T) {
	t.Parallel()
	js := open(t)
	ensure(t, js, topology.Limits{AuditBytes: 1 << 20})
	record, stored := make([]byte, 100<<10), uint64(0)
	for {
		if _, err := js.Publish(t.Context(), topology.AuditIn("g"), record); err != nil {
			break
		}
		stored++
	}
	ensure(t, js, topology.Limits{AuditBytes: 256 << 10})
	if got := must(js.Stream(t.Context(), topology.StreamAudit)).CachedInfo().State.Msgs; stored < 5 || got != stored {
		t.Fatalf("%d of %d are left", got, stored)
	}
	ensure(t, js, topology.Limits{AuditBytes: 2 << 20})
	if _, err := js.Publish(t.Context(), topology.AuditIn("g"), record); err != nil {
		t.Fatalf("no room after the limit was raised: %v", err)
	}
}

func TestEnsureTakesUpAStreamThatWasMadeLoosely(t *testing.T) {
	t.Parallel()
	js := open(t)
	loose := topology.Streams(topology.Limits{})[0]
	loose.DenyDelete, loose.DenyPurge, loose.MaxMsgs, loose.Discard, loose.RePublish, loose.AllowDirect = false, false, 10, jetstream.DiscardOld, nil, false
	must(js.CreateStream(t.Context(), loose))
	must(js.Publish(t.Context(), "log.config", []byte("kept")))
	ensure(t, js, topology.Limits{})
	fresh := empty(t)
	ensure(t, fresh, topology.Limits{})
	if diff := cmp.Diff(configs(t, fresh)["CONFIG"], configs(t, js)["CONFIG"]); diff != "" {
		t.Fatal(diff)
	}
	if msg, err := must(js.Stream(t.Context(), "CONFIG")).GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "kept" {
		t.Fatalf("%v, %v", msg, err)
	}
}

func TestWhatCannotBeMendedIsNamed(t *testing.T) {
	t.Parallel()
	memory := topology.Streams(topology.Limits{})[0]
	memory.Storage = jetstream.MemoryStorage
	wrong := open(t)
	must(wrong.CreateStream(t.Context(), memory))
	other := open(t)
	must(other.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHERS", Subjects: []string{"audit.>"}}))
	n := testkit.StartNATS(t)
	away := n.JetStream(t, topology.Config)
	gone := away.Conn().StatusChanged(nats.RECONNECTING)
	noRights := testkit.StartNATS(t).JetStream(t, topology.Gateway)
	n.Stop()
	<-gone
	for want, c := range map[string]struct {
		js     jetstream.JetStream
		limits topology.Limits
	}{
		"ensure stream CONFIG: ":                                  {wrong, topology.Limits{}},
		"ensure stream AUDIT: ":                                   {other, topology.Limits{}},
		"ensure stream CONFIG: nats: API error: code=500":         {open(t), topology.Limits{Replicas: 3}},
		"ensure stream CONFIG: nats: outbound buffer":             {away, topology.Limits{}},
		"ensure stream CONFIG: context deadline exceeded":         {noRights, topology.Limits{}},
		"ensure stream AUDIT: nats: API error: code=500 err_code": {open(t), topology.Limits{AuditBytes: 1 << 60}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := topology.Ensure(ctx, c.js, c.limits)
		if cancel(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestTheLogsCannotBeShortened(t *testing.T) {
	t.Parallel()
	js := open(t)
	ensure(t, js, topology.Limits{})
	for name, subject := range map[string]string{"CONFIG": "log.config", "TOKENS": topology.TokenLog().Subject} {
		for range 3 {
			must(js.Publish(t.Context(), subject, []byte("commit")))
		}
		s := must(js.Stream(t.Context(), name))
		loose := s.CachedInfo().Config
		loose.DenyDelete, loose.DenyPurge = false, false
		_, update := js.UpdateStream(t.Context(), loose)
		for what, err := range map[string]error{
			"delete": s.DeleteMsg(t.Context(), 2), "secure delete": s.SecureDeleteMsg(t.Context(), 2), "purge": s.Purge(t.Context()),
			"purge some": s.Purge(t.Context(), jetstream.WithPurgeSequence(2)), "allow it": update,
		} {
			if err == nil {
				t.Errorf("%s: %s is possible", name, what)
			}
		}
		if got := must(s.Info(t.Context())).State; got.Msgs != 3 || got.NumDeleted != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
