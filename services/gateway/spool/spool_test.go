package spool

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/proto"
)

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
	if fourth.Size() != 0 {
		t.Errorf("%d bytes left", fourth.Size())
	}
	if fourth.hash != audittrail.Genesis(next.hash, "gw1", fourth.Epoch()) { // the third has no record
		t.Error("the chain does not go on")
	}
}

// TestWhatIsCutOffIsMended cuts a spool at every byte of its last call: what was whole is there, and nothing else.
func TestWhatIsCutOffIsMended(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.Segment = 1 << 20 })
	for i := range 2 {
		call(t, s, fmt.Sprint(i))
	}
	_ = s.Close()
	path := s.files.path(1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for cut := len(whole) / 2; cut <= len(whole); cut++ { // in the second call
		for _, tail := range [][]byte{nil, make([]byte, 100)} {
			torn := t.TempDir()
			if err := os.WriteFile(filepath.Join(torn, filepath.Base(path)), append(slices.Clone(whole[:cut]), tail...), 0o600); err != nil {
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
	if most != 2 {
		t.Errorf("%d records of 2", most)
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
	if len(s.files.firsts) < 3 {
		t.Fatal(s.files.firsts)
	}
	path := s.files.path(s.files.firsts[1])
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
	s.commit(s.Epoch(), uint64(n+1))
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
