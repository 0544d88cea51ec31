package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"google.golang.org/protobuf/types/known/durationpb"
)

func snapshotFile(r *running) string { return filepath.Join(r.dir, "gateway", "snapshot") }

// onDisk reads the Snapshot file as a gateway that starts does.
func (w *world) onDisk(r *running) *configlog.Snapshot {
	w.t.Helper()
	key, err := secret.ReadIdentity(secret.IdentityFile(w.keys, secret.Gateway))
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := configlog.NewFile(snapshotFile(r), []byte(key.String()))
	if err != nil {
		w.t.Fatal(err)
	}
	s, _, err := file.Load(nil)
	if err != nil || s == nil {
		w.t.Fatalf("%v, %v", s, err)
	}
	return s
}

// TestNoRestartGoesBack: what a gateway decides by is on its disk already, whenever it is killed.
func TestNoRestartGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	gw := w.gateway("")
	for i := range 20 {
		seq := w.commit(&configv1.StalenessSet{Site: "jira", Max: durationpb.New(time.Hour + time.Duration(i)*time.Second)})
		gw.reached(t, seq)
		if s := w.onDisk(gw); s.State.Seq < seq {
			t.Fatalf("decides under %d and has %d on disk", seq, s.State.Seq)
		}
	}
}

func TestAnAlteredSnapshotFileIsNotUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	gw.stop()
	data, err := os.ReadFile(snapshotFile(gw))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(snapshotFile(gw), data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.nats.Stop()
	again := w.gateway(gw.dir)
	resp, body := do(t, request(t, http.MethodGet, again.url+"/rest/api/2/serverInfo", nil))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("%s %s", resp.Status, body)
	}
	w.nats.Start(t)
	again.reached(t, seq)
}
