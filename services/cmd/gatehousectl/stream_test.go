package main

import (
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// ctl runs the command as a user of NATS and gives what it says.
func ctl(t *testing.T, c *testkit.Cluster, as topology.Service, args ...string) (said string, code int) {
	t.Helper()
	s := c.Settings(as)
	var out strings.Builder
	code = run(append([]string{"stream"}, args...), []string{"GATEHOUSE_NATS_URL=" + s.URL, "GATEHOUSE_NATS_SEED_FILE=" + s.SeedFile}, &out, &out)
	return out.String(), code
}

func TestAnOperatorMovesAndDeletesAStream(t *testing.T) {
	t.Parallel()
	c := testkit.StartCluster(t)
	js := c.JetStream(t, topology.Config)
	c.Settle(t, js, topology.StreamConfig)
	before, err := c.Leader(t.Context(), js, topology.StreamConfig)
	if err != nil {
		t.Fatal(err)
	}
	if said, code := ctl(t, c, topology.Operator, "step-down", topology.StreamConfig); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	testkit.Until(t, "another server to lead", func() bool {
		now, err := c.Leader(t.Context(), js, topology.StreamConfig)
		return err == nil && now != before
	})
	said, code := ctl(t, c, topology.Operator, "list")
	if code != 0 || strings.Count(said, "current ") != 12 || !strings.Contains(said, "CONFIG: 0 messages") { // six streams of three
		t.Errorf("exit code %d: %s", code, said)
	}
	if said, code := ctl(t, c, topology.RateLimit, "list"); code != 1 {
		t.Errorf("by a service: exit code %d: %s", code, said)
	}
	if said, code := ctl(t, c, topology.Operator, "delete", topology.StreamConfig); code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	if said, code := ctl(t, c, topology.Operator, "step-down", topology.StreamConfig); code != 1 || !strings.Contains(said, "not found") {
		t.Errorf("of a stream that is gone: exit code %d: %s", code, said)
	}
}

func TestWhoeverIsNoOperatorIsTold(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	nowhere := []string{"GATEHOUSE_NATS_URL=nats://" + testkit.FreeAddress(t)}
	for want, c := range map[string]struct{ args, environ []string }{
		"usage":               {args: []string{"stream", "delete"}},
		"set GATEHOUSE_NATS_": {args: []string{"stream", "list"}},
		"not let in":          {args: []string{"stream", "list"}, environ: nowhere},
	} {
		out.Reset()
		if code := run(c.args, c.environ, &out, &out); code == 0 || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d: %s, want %s", code, out.String(), want)
		}
	}
}
