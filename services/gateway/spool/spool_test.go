package spool

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
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

func open(t testing.TB, dir string, change ...func(*Options)) *Spool {
	t.Helper()
	o := Options{Gateway: "gw1", Segment: 4 << 10, Log: testkit.Logger(t)}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func record(id string) *auditv1.Record {
	return &auditv1.Record{Time: 1e18, RequestId: id, Site: "jira", User: "alice", Path: "/rest/api/2/myself", Outcome: "completed"}
}

// contents gives the records in a spool as they would be shipped, and makes sure that numbers and chain fit.
func contents(t testing.TB, s *Spool) (all []*auditv1.Record) {
	t.Helper()
	if err := s.sync(); err != nil {
		t.Fatal(err)
	}
	next, hash := map[uint64]uint64{}, map[uint64][]byte{}
	for {
		b, upTo, err := s.unshipped()
		if err != nil {
			t.Fatal(err)
		}
		s.shipped(b, upTo)
		if b.last == 0 {
			return all
		}
		batch := new(auditv1.Batch)
		if err := proto.Unmarshal(b.data, batch); err != nil {
			t.Fatal(err)
		}
		if n := next[batch.GetEpoch()]; n != 0 && n != batch.GetFirst() {
			t.Fatalf("number %d follows %d", batch.GetFirst(), n-1)
		}
		if h := hash[batch.GetEpoch()]; h != nil && !slices.Equal(h, batch.GetPrevHash()) {
			t.Fatal("the chain is torn")
		}
		chain := audittrail.Hash(batch.GetPrevHash())
		for _, r := range batch.GetRecords() {
			encoded, err := audittrail.Encode(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			chain = audittrail.Next(chain, encoded)
		}
		if !slices.Equal(chain[:], batch.GetHash()) {
			t.Fatal("the chain does not fit the records")
		}
		next[batch.GetEpoch()], hash[batch.GetEpoch()] = batch.GetFirst()+uint64(len(batch.GetRecords())), batch.GetHash()
		all = append(all, batch.GetRecords()...)
	}
}

func outcomes(records []*auditv1.Record) map[string]string {
	all := map[string]string{}
	for _, r := range records {
		all[r.GetRequestId()] += r.GetOutcome()
	}
	return all
}

func call(t testing.TB, s *Spool, id string) {
	t.Helper()
	var c Call
	if err := s.Begin(&c, record(id)); err != nil {
		t.Fatal(err)
	}
	if err := s.End(&c, record(id)); err != nil {
		t.Fatal(err)
	}
}

func TestACallHasOneRecord(t *testing.T) {
	s := open(t, t.TempDir())
	call(t, s, "a")
	var c Call
	if err := s.End(&c, record("b")); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(new(Call), record("c")); err != nil { // still runs
		t.Fatal(err)
	}
	if got := outcomes(contents(t, s)); !maps.Equal(got, map[string]string{"a": "completed", "b": "completed"}) {
		t.Errorf("got %v", got)
	}
	if toShip, uncommitted := s.Backlog(); toShip != 0 || uncommitted != 2 {
		t.Errorf("%d to ship, %d uncommitted", toShip, uncommitted)
	}
}

func TestOnlyOneProcessHasIt(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := Open(s.dir, s.options); err != ErrTaken { //nolint:errorlint // it is that very one
		t.Errorf("got %v", err)
	}
}

func TestTheNextProcessGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	call(t, s, "a")
	if err := s.Begin(new(Call), record("b")); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	next := open(t, dir)
	if next.Epoch() <= s.Epoch() {
		t.Error("no new epoch")
	}
	call(t, next, "c")
	if got := outcomes(contents(t, next)); !maps.Equal(got, map[string]string{"a": "completed", "b": "interrupted", "c": "completed"}) {
		t.Errorf("got %v", got)
	}
	_ = next.Close()
	third := open(t, dir)
	if got := contents(t, third); len(got) != 0 {
		t.Errorf("shipped again: %v", got)
	}
	// The chain goes on over what is gone.
	for _, epoch := range []uint64{s.Epoch(), next.Epoch()} {
		third.commit(epoch, 99)
	}
	_ = third.Close()
	fourth := open(t, dir)
	if firsts, _, _ := segments(dir); len(firsts) != 1 || fourth.written.Load() != 0 {
		t.Errorf("not emptied: %v", firsts)
	}
	if fourth.hash != audittrail.Genesis(next.hash, "gw1", fourth.Epoch()) { // the third has no record
		t.Error("the chain does not go on")
	}
}

// TestWhatIsCutOffIsMended cuts a spool at every byte of its last file: what was whole is there, and nothing else.
func TestWhatIsCutOffIsMended(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.Segment = 1 << 20 })
	for i := range 4 {
		call(t, s, fmt.Sprint(i))
	}
	_ = s.Close()
	path := segmentPath(dir, 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for cut := range len(whole) + 1 {
		for _, tail := range [][]byte{nil, make([]byte, 100)} {
			torn := t.TempDir()
			if err := os.WriteFile(segmentPath(torn, 1), append(slices.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(torn, Options{Gateway: "gw1", Log: testkit.Logger(t)})
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			got := contents(t, s)
			most = max(most, len(got))
			if len(got) < most-1 {
				t.Fatalf("cut at %d: %d records", cut, len(got))
			}
			call(t, s, "after")
			if got := contents(t, s); len(got) != 1 {
				t.Fatalf("cut at %d: %d records written after", cut, len(got))
			}
			_ = s.Close()
		}
	}
	if most != 4 {
		t.Errorf("%d records of 4", most)
	}
}

// TestADamagedSpoolIsSetAside: calls can be recorded, and what is readable can be salvaged.
func TestADamagedSpoolIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 50 {
		call(t, s, fmt.Sprint(i))
	}
	_ = s.Close()
	firsts, _, err := segments(dir)
	if err != nil || len(firsts) < 3 {
		t.Fatal(firsts, err)
	}
	path := segmentPath(dir, firsts[1])
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("alice"))] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	call(t, s, "after")
	if got := contents(t, s); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
	aside, err := filepath.Glob(filepath.Join(dir, "damaged-*"))
	if err != nil || len(aside) != 1 {
		t.Fatal(aside, err)
	}
	salvaged := open(t, aside[0], func(o *Options) { o.Salvage, o.Gateway = true, "" })
	if salvaged.Gateway() != "gw1" {
		t.Errorf("of gateway %q", salvaged.Gateway())
	}
	found := map[string]bool{}
	for {
		if err := salvaged.sync(); err != nil {
			t.Fatal(err)
		}
		b, upTo, err := salvaged.unshipped()
		if err != nil {
			t.Fatal(err)
		}
		salvaged.shipped(b, upTo)
		if b.last == 0 {
			break
		}
		batch := new(auditv1.Batch)
		if err := proto.Unmarshal(b.data, batch); err != nil {
			t.Fatal(err)
		}
		if batch.GetOldest() != batch.GetFirst() {
			t.Error("what cannot be read is not given up")
		}
		for _, r := range batch.GetRecords() {
			found[r.GetRequestId()] = true
		}
	}
	if len(found) < 49 {
		t.Errorf("%d calls salvaged of 50", len(found))
	}
}

// TestIsCut: files go once what is in them is committed, but not what a call that runs needs.
func TestIsCut(t *testing.T) {
	s := open(t, t.TempDir())
	var running Call
	for i := range 500 {
		if i == 250 {
			if err := s.Begin(&running, record("running")); err != nil {
				t.Fatal(err)
			}
		}
		call(t, s, fmt.Sprint(i))
	}
	contents(t, s)
	before := s.Size()
	s.commit(s.Epoch(), 500)
	s.cut()
	if s.Size() > before*6/10 || s.Size() < before*4/10 {
		t.Errorf("%d bytes of %d are left", s.Size(), before)
	}
	if err := s.End(&running, record("running")); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(contents(t, s)); !maps.Equal(got, map[string]string{"running": "completed"}) {
		t.Errorf("got %v", got)
	}
	s.commit(s.Epoch(), 501)
	s.cut()
	if s.Size() > 10<<10 {
		t.Errorf("%d bytes are left", s.Size())
	}
	if b, err := s.again(s.Epoch(), 501, 501); err != nil || b.last != 501 {
		t.Errorf("the last record cannot be sent again: %v %v", b.last, err)
	}
}

// TestLongCallsPinNothing: a call that runs long has a record of its own, which its last one replaces.
func TestLongCallsPinNothing(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.Open = time.Nanosecond })
	var long Call
	if err := s.Begin(&long, record("long")); err != nil {
		t.Fatal(err)
	}
	s.shipOpen()
	if err := s.End(&long, record("long")); err != nil {
		t.Fatal(err)
	}
	got := contents(t, s)
	if len(got) != 2 || got[0].GetOutcome() != "open" || got[1].GetOpened() != 1 || got[1].GetOutcome() != "completed" {
		t.Errorf("got %v", got)
	}
}

func TestFull(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.Limit = 20_000 })
	var running Call
	if err := s.Begin(&running, record("running")); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; s.End(new(Call), record("x")) == nil; n++ {
		if n > 1000 {
			t.Fatal("never full")
		}
	}
	if err := s.Begin(new(Call), record("y")); err != ErrFull { //nolint:errorlint // it is that very one
		t.Errorf("got %v", err)
	}
	if err := s.End(&running, record("running")); err != nil {
		t.Errorf("a call that was begun cannot end: %v", err)
	}
	contents(t, s)
	s.commit(s.Epoch(), uint64(n+1)) //nolint:gosec // counted from 0
	s.cut()
	if err := s.Err(); err != nil {
		t.Errorf("still %v", err)
	}
}

// TestManyAtOnce: with callers, syncs, cuts and readers all at once nothing is lost.
func TestManyAtOnce(t *testing.T) {
	s := open(t, t.TempDir(), func(o *Options) { o.Sync, o.Open = time.Millisecond, 8*time.Millisecond })
	ctx, end := context.WithCancel(t.Context())
	var tending, calling sync.WaitGroup
	tending.Go(func() { s.tend(ctx) })
	for i := range 8 {
		calling.Go(func() {
			for j := range 300 {
				var c Call
				if err := s.Begin(&c, record(fmt.Sprint(i, ".", j))); err != nil {
					t.Error(err)
				}
				if j%100 == 0 {
					if err := s.Await(ctx, &c); err != nil {
						t.Error(err)
					}
				}
				if err := s.End(&c, record(fmt.Sprint(i, ".", j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { calling.Wait(); close(done) }()
	var all []*auditv1.Record
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		all = append(all, contents(t, s)...)
		s.commit(s.Epoch(), uint64(len(all)))
		s.cut()
		s.saveMark()
	}
	end()
	tending.Wait()
	finished := 0
	for _, r := range all {
		if r.GetOutcome() == "completed" {
			finished++
		}
	}
	if finished != 2400 {
		t.Errorf("%d calls of 2400", finished)
	}
}

// other runs this binary as another process.
func other(t *testing.T, what, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec,noctx // this very program, killed below
	cmd.Env = append(os.Environ(), role+"="+what, "GATEHOUSE_TEST_SPOOL_DIR="+dir)
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
	for s.Err() != nil {
		time.Sleep(time.Millisecond)
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

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
