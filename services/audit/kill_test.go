package audit

import (
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/retry"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// process runs the service as a process of its own, until kill.
func (w *world) process(t testing.TB) (kill func()) {
	t.Helper()
	s := w.nats.Remote(topology.Audit)
	cmd := osexec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = []string{
		asProcess + "=1", "GATEHOUSE_DATABASE_URL=" + w.url, "GATEHOUSE_ADMIN_TOKEN=" + adminToken, "GATEHOUSE_NATS_URL=" + s.URL,
		"GATEHOUSE_NATS_SEED_FILE=" + s.SeedFile, "GATEHOUSE_AUDIT_LISTEN=127.0.0.1:0", "GATEHOUSE_OPS_LISTEN=127.0.0.1:0",
	}
	ended, err := testkit.StartChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		<-ended
	}
}

// TestCommitsThroughKills: 500 commits, the service killed at random moments, NATS away in between.
func TestCommitsThroughKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.writer(t)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 500 { // slowly, so that it goes on through all the kills
			c.some(1, "under fire")
			retry.Sleep(t.Context(), 10*time.Millisecond)
		}
	}()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var seen []int // commits in the trail after each kill
	for done := false; !done; {
		kill := w.process(t)
		retry.Sleep(t.Context(), time.Duration(50+random.IntN(600))*time.Millisecond)
		if len(seen)%3 == 1 {
			w.nats.Stop()
			retry.Sleep(t.Context(), time.Duration(random.IntN(200))*time.Millisecond)
			w.nats.Start(t)
		}
		kill()
		seen = append(seen, w.commits(t))
		select {
		case <-written:
			done = true
		default:
		}
	}
	t.Logf("killed %d times, with so many commits in the trail: %v", len(seen), seen)
	w.start(t)
	w.awaitCommits(t, 500)
	w.awaitCopied(t, c.at)
	w.wantChained(t)
	if n := row[int](t, w.url, `SELECT count(DISTINCT config_version) FROM audit.actions WHERE kind = 'config.committed'`); n != 500 {
		t.Errorf("%d of 500 commits are there", n)
	}
	if n := row[int](t, w.url, `SELECT count(*) FROM audit.config_log`); n != 1 {
		t.Errorf("%d histories", n)
	}
}
