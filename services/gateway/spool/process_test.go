package spool

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// role makes this test binary another process.
const role = "GATEHOUSE_TEST_SPOOL"

func TestMain(m *testing.M) {
	switch dir := os.Getenv("GATEHOUSE_TEST_SPOOL_DIR"); os.Getenv(role) { //nolint:forbidigo // how a test binary is told to be the other process
	case "busy":
		busy(dir)
	case "limited":
		limited(dir)
	default:
		goleak.VerifyTestMain(m)
	}
}

// other runs this binary as another process.
func other(t *testing.T, what, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+what, "GATEHOUSE_TEST_SPOOL_DIR="+dir) //nolint:forbidigo // what this process has
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

// busy makes calls until it is killed, and says what it has written after it has.
func busy(dir string) {
	s, err := Open(dir, Options{Gateway: "gw1", Segment: 16 << 10, Log: discard()})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go s.tend(context.Background())
	var said sync.Mutex
	say := func(what, id string) {
		said.Lock()
		defer said.Unlock()
		fmt.Println(what, id)
	}
	for i := range 4 {
		go func() {
			for j := 0; ; j++ {
				var c Call
				id := fmt.Sprintf("%d.%d.%d", s.Epoch(), i, j)
				if s.Begin(&c, record(id)) == nil {
					say("begun", id)
				}
				if s.End(&c, record(id)) == nil {
					say("ended", id)
				}
			}
		}()
	}
	select {}
}

// TestNothingIsLostWhenKilled: whatever a process said it had written when it was killed is there.
func TestNothingIsLostWhenKilled(t *testing.T) {
	dir := t.TempDir()
	begun, ended := map[string]bool{}, map[string]bool{}
	for round := range 5 {
		cmd, said := other(t, "busy", dir)
		for n := 0; n < 500+333*round && said.Scan(); n++ {
			note(t, said.Text(), begun, ended)
		}
		_ = cmd.Process.Signal(syscall.SIGKILL)
		for said.Scan() {
			if strings.Count(said.Text(), ".") == 2 { // else cut off
				note(t, said.Text(), begun, ended)
			}
		}
		_ = cmd.Wait()
	}
	got := outcomes(contents(t, open(t, dir)))
	for id := range begun {
		if got[id] != "completed" && got[id] != "interrupted" {
			t.Fatalf("call %s: %q", id, got[id])
		}
	}
	for id := range ended {
		if got[id] != "completed" {
			t.Fatalf("call %s has ended: %q", id, got[id])
		}
	}
	t.Logf("%d calls begun, %d ended, %d records", len(begun), len(ended), len(got))
	if len(ended) < 1000 {
		t.Errorf("only %d calls", len(ended))
	}
}

func note(t *testing.T, line string, begun, ended map[string]bool) {
	t.Helper()
	what, id, _ := strings.Cut(line, " ")
	switch what {
	case "begun":
		begun[id] = true
	case "ended":
		ended[id] = true
	default:
		t.Fatal(line)
	}
}

// limited meets a disk that takes no more, and then does again.
func limited(dir string) {
	signal.Ignore(syscall.SIGXFSZ) // the disk refuses with an error
	s, err := Open(dir, Options{Gateway: "gw1", Log: discard(), Open: 80 * time.Millisecond})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go s.tend(context.Background())
	var running Call
	if err := s.Begin(&running, record("running")); err != nil {
		fmt.Println("error", err)
		return
	}
	var was syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was)
	_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 10_000, Max: was.Max})
	for i := 0; ; i++ {
		if err := s.End(new(Call), record(fmt.Sprint(i))); err != nil {
			fmt.Println("refused", i, err)
			break
		}
	}
	fmt.Println("late", s.End(&running, record("running")))
	_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for s.Err() != nil {
		<-again.C
	}
	fmt.Println("well", s.End(new(Call), record("after")))
	_ = s.Close()
}

// TestADiskThatRefuses: nothing is half-written, the record of a call that was over meanwhile is written later, and
// all goes on by itself.
func TestADiskThatRefuses(t *testing.T) {
	dir := t.TempDir()
	cmd, said := other(t, "limited", dir)
	var lines []string
	for said.Scan() {
		lines = append(lines, said.Text())
	}
	_ = cmd.Wait()
	var n int
	if len(lines) != 3 {
		t.Fatalf("it said %q", lines)
	}
	if _, err := fmt.Sscanf(lines[0], "refused %d", &n); err != nil || !strings.HasPrefix(lines[1], "late write the audit spool") || lines[2] != "well <nil>" {
		t.Fatalf("it said %q", lines)
	}
	got := outcomes(contents(t, open(t, dir)))
	if len(got) != n+2 || !strings.HasSuffix(got["running"], "completed") || got["after"] != "completed" {
		t.Errorf("%d records, want %d", len(got), n+2)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
