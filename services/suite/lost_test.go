package suite_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/telemetry"

	"github.com/gatehouse-suite/gatehouse/services/suite"
)

// TestTheLogWasLost: what NATS keeps is gone, and the gateway still goes by what it had. The lab does not begin
// another history behind its back.
func TestTheLogWasLost(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	r.stop()
	if err := os.RemoveAll(filepath.Join(r.dir, "nats")); err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(r.dir, "gateway", "snapshot")
	err := refuses(t, r.dir)
	for _, word := range []string{"decides under configuration", "does not hold", "remove " + snapshot} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in: %v", word, err)
		}
	}
	if err := os.Remove(snapshot); err != nil {
		t.Fatal(err)
	}
	anew := start(t, r.dir)
	if resp, body := anew.call("/rest/api/2/myself", "Bearer "+anew.token()); resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// refuses tries to start a suite with its lab and gives why it does not.
func refuses(t *testing.T, dir string) error {
	t.Helper()
	s, err := suite.Load([]string{
		"GATEHOUSE_DATA_DIR=" + dir, "GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:0", "GATEHOUSE_ADMIN_LISTEN=127.0.0.1:0",
		"GATEHOUSE_NATS_LISTEN=127.0.0.1:0", "GATEHOUSE_LAB_LISTEN=127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Lab = true
	process := service.NewProcess(telemetry.Logger(new(logs), slog.LevelDebug, "suite"), nil)
	up, err := suite.Start(context.WithoutCancel(t.Context()), process, s)
	if err == nil {
		_ = up.Stop()
		t.Fatal("it starts, with another history than the gateway's")
	}
	return err
}
