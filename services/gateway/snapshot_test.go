package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

func snapshotFile(r *running) string { return filepath.Join(r.dir, "gateway", "snapshot") }

func waitForSnapshot(t *testing.T, r *running) {
	t.Helper()
	testkit.Until(t, "a Snapshot file", func() bool { _, err := os.Stat(snapshotFile(r)); return err == nil })
}

func TestAnAlteredSnapshotFileIsNotUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	waitForSnapshot(t, gw)
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
