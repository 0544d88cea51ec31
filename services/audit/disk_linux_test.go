package audit

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
)

// TestPostgresOutOfDisk: the disk refuses what is behind the first megabytes of a table. Nothing is lost or stored by
// halves, it is said, searches are answered, and all goes on by itself once there is room.
func TestPostgresOutOfDisk(t *testing.T) {
	t.Parallel()
	w, dir, _ := ownServer(t)
	if err := Migrate(t.Context(), w.url); err != nil {
		t.Fatal(err)
	}
	room(t, dir, "20971520") // processes for connections made from now on; a file of the server's log takes 16 MiB
	in := w.start(t)
	in.awaitReady(t)
	big := func(k uint64) *auditv1.Batch {
		return batch("gw1", 1, k*100+1, k*100+100, func(_ uint64, r *auditv1.Record) {
			r.UserAgent, r.Detail = strings.Repeat("x", 1000), strings.Repeat("y", 1000)
		})
	}
	for k := range uint64(150) { // some 30 MiB
		w.publish(t, big(k))
	}
	await(t, "the disk is full", func() bool { ready, d := in.health(t); return !ready && d.Database != "" && d.Lag > 0 })
	_, d := in.health(t)
	if !strings.Contains(d.Database, "could not extend file") && !strings.Contains(d.Database, "File too large") {
		t.Errorf("it says %q", d.Database)
	}
	before := w.count(t)
	if before == 0 || before >= 15_000 || before%100 != 0 {
		t.Errorf("%d records are there", before)
	}
	if p := in.search(t, "limit=5"); len(p.Events) != 5 {
		t.Errorf("%d found", len(p.Events))
	}
	room(t, dir, "unlimited")
	w.awaitCount(t, 15_000)
	w.exact(t)
	in.awaitReady(t)
}

// room says how large a file of a server may become, in bytes, for the processes that it makes from now on.
func room(t testing.TB, dir, most string) {
	t.Helper()
	file := filepath.Join(dir, "data", "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	cmd := osexec.CommandContext(t.Context(), "prlimit", "--pid", pid, "--fsize="+most+":unlimited")
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
