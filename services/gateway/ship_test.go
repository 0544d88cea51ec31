package gateway_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// shipSpool runs gatehouse-gateway --ship-spool.
func (w *world) shipSpool(dir string, more ...string) (code int, said string) {
	var out bytes.Buffer
	s := w.nats.Remote(topology.Gateway)
	environ := append([]string{"GATEHOUSE_NATS_URL=" + s.URL, "GATEHOUSE_NATS_SEED_FILE=" + s.SeedFile}, more...)
	return gateway.ShipSpool(dir, environ, &out), out.String()
}

// TestShipSpool: what a gateway that is gone has left comes into the trail by hand, once.
func TestShipSpool(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	gw := w.gateway("", func(s *gateway.Settings) { s.AuditGrace = 10 * time.Millisecond })
	gw.reached(t, w.commit(w.site()...))
	w.nats.Stop()
	for range 20 {
		expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	}
	if code, said := w.shipSpool(gw.dir); code != 1 || !strings.Contains(said, "another process") {
		t.Errorf("of a gateway that runs: %d %s", code, said)
	}
	gw.stop()
	w.nats.Start(t)
	if code, said := w.shipSpool(gw.dir, "GATEHOUSE_SHIP_PATIENCE=300ms"); code != 1 || !strings.Contains(said, "run this again") {
		t.Errorf("with nobody who commits: %d %s", code, said)
	}
	a := w.archive()
	orphan := filepath.Join(t.TempDir(), "moved")
	if out, err := exec.CommandContext(t.Context(), "cp", "-r", filepath.Join(gw.dir, "gateway", "spool"), orphan).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	for range 2 {
		if code, said := w.shipSpool(orphan); code != 0 {
			t.Fatalf("%d %s", code, said)
		}
	}
	a.await("calls", 20, calls, "/rest/api/2/serverInfo")
	a.linked()
	empty := t.TempDir()
	if code, said := w.shipSpool(empty); code != 1 || !strings.Contains(said, "no audit spool") {
		t.Errorf("of nothing: %d %s", code, said)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
}
