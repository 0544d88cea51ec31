package upstream

import (
	"fmt"
	"testing"
	"time"
)

func poolOf(t *testing.T, n int) *Pool {
	t.Helper()
	nodes := make([]*Node, n)
	for i := range nodes {
		node, err := newNode(fmt.Sprintf("n%d", i+1), "http://10.0.0.1", "/status", Settings{}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = node
	}
	return NewPool(nodes)
}

// TestRendezvous: keys spread evenly, stay where they are, and only those of a node that goes move.
func TestRendezvous(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	p, count := poolOf(t, 4), map[string]int{}
	where := map[string]string{}
	for i := range keys {
		key := fmt.Sprintf("%016x", i)
		where[key] = p.Next(Near{Key: key}, nil).ID
		count[where[key]]++
		if again := p.Next(Near{Key: key}, nil).ID; again != where[key] {
			t.Fatalf("%s moved from %s to %s", key, where[key], again)
		}
	}
	for id, n := range count {
		if n < keys/4*9/10 || n > keys/4*11/10 {
			t.Errorf("%s has %d of %d keys", id, n, keys)
		}
	}
	p.nodes[1].note(Health{State: "MAINTENANCE"})
	for key, id := range where {
		switch now := p.Next(Near{Key: key}, nil).ID; {
		case id == "n2" && now == "n2":
			t.Fatal("a call went to a node that is not fit")
		case id != "n2" && now != id:
			t.Fatalf("%s moved from %s to %s", key, id, now)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	p := poolOf(t, 3)
	for range 5 {
		if id := p.Next(Near{ID: "n2"}, nil).ID; id != "n2" {
			t.Errorf("%s, wanted n2", id)
		}
	}
	turns := map[string]int{}
	for range 9 {
		turns[p.Next(Near{}, nil).ID]++
		turns[p.Next(Near{ID: "gone"}, nil).ID]++
	}
	if turns["n1"] != 6 || turns["n2"] != 6 || turns["n3"] != 6 {
		t.Error(turns)
	}
	if node := p.Next(Near{ID: "n2"}, []*Node{p.nodes[1]}); node == nil || node.ID == "n2" {
		t.Error("a node that was tried is tried again")
	}
	for _, n := range p.nodes {
		n.note(Health{State: Away})
	}
	for range 5 {
		if id := p.Next(Near{ID: "n2"}, nil).ID; id != "n2" {
			t.Errorf("with none fit its session went to %s", id)
		}
	}
	if p.Next(Near{Key: "x"}, nil) == nil || p.Next(Near{}, p.nodes) != nil {
		t.Error("status pages may err: what was not tried is")
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	p := poolOf(t, 3)
	if n := testing.AllocsPerRun(100, func() { p.Next(Near{Key: "0123456789abcdef"}, nil) }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// TestANodeThatIsEmptied gets the calls of its sessions, and no other while another node can take them.
func TestANodeThatIsEmptied(t *testing.T) {
	t.Parallel()
	nodes := poolOf(t, 3).nodes
	p := NewPool(nodes, "n2")
	for i := range 300 {
		if p.Next(Near{Key: fmt.Sprint(i)}, nil).ID == "n2" || p.Next(Near{}, nil).ID == "n2" {
			t.Fatal("a new call went there")
		}
	}
	if id := p.Next(Near{ID: "n2"}, nil).ID; id != "n2" {
		t.Errorf("its session went to %s", id)
	}
	nodes[0].note(Health{State: Away})
	if n := p.Next(Near{}, []*Node{nodes[2]}); n == nil || n.ID != "n2" {
		t.Errorf("%v, though n2 is the only one left that is fit", n)
	}
}

// TestAllNodesComeBackTogether: each gets its share at once, because there is nowhere else to go.
func TestAllNodesComeBackTogether(t *testing.T) {
	t.Parallel()
	const calls = 3000
	p := poolOf(t, 3)
	for _, n := range p.nodes {
		n.settings.SlowStart = time.Hour
		n.note(Health{State: Away})
		n.note(Health{State: Running})
	}
	byKey, byTurn := map[string]int{}, map[string]int{}
	for i := range calls {
		byKey[p.Next(Near{Key: fmt.Sprintf("%08x", i)}, nil).ID]++
		byTurn[p.Next(Near{}, nil).ID]++
	}
	for _, n := range p.nodes {
		for _, count := range []map[string]int{byKey, byTurn} {
			if count[n.ID] < calls/3*8/10 || count[n.ID] > calls/3*12/10 {
				t.Errorf("%s has %d of %d calls", n.ID, count[n.ID], calls)
			}
		}
	}
	p.leaving[1] = true
	if n := p.Next(Near{Key: "a"}, nil); n.ID == "n2" {
		t.Error("a node that is emptied comes before those that come back")
	}
}

// TestWhatFailedSaysOfANode: that it could not be reached, it is away; that it died over a call, it may be the call.
func TestWhatFailedSaysOfANode(t *testing.T) {
	t.Parallel()
	n := poolOf(t, 1).nodes[0]
	n.note(Health{State: Running})
	for _, err := range []error{&UnreachableError{Sent: true, Err: errUnanswered}, &TimeoutError{}, errUnanswered} {
		if n.Failed(err); n.Health().State != Running {
			t.Errorf("%v: %v", err, n.Health())
		}
	}
	if len(n.doubts) != 1 {
		t.Error("it is not asked how it is")
	}
	if n.Failed(&UnreachableError{Err: errUnanswered}); n.Health().State != Away {
		t.Error(n.Health())
	}
}

// TestANodeThatComesBack gets a share that grows; a key that has come to it stays.
func TestANodeThatComesBack(t *testing.T) {
	t.Parallel()
	const keys = 2000
	p := poolOf(t, 2)
	for _, n := range p.nodes {
		n.settings.SlowStart = time.Hour
	}
	n2 := p.nodes[1]
	share := func(since time.Duration) (byKey, byTurn int, have map[string]bool) {
		n2.backAt.Store(time.Now().Add(-since).UnixNano())
		have = map[string]bool{}
		for i := range keys {
			key := fmt.Sprintf("%08x", i)
			if p.Next(Near{Key: key}, nil) == n2 {
				byKey, have[key] = byKey+1, true
			}
			if p.Next(Near{}, nil) == n2 {
				byTurn++
			}
		}
		return byKey, byTurn, have
	}
	n2.note(Health{State: Running})
	if n2.backAt.Load() != 0 {
		t.Error("a node that was never away comes back")
	}
	n2.note(Health{State: Away})
	n2.note(Health{State: Running})
	if n2.backAt.Load() == 0 {
		t.Error("a node that was away does not")
	}
	last := map[string]bool{}
	for _, c := range []struct {
		since    time.Duration
		from, to int // in a hundred of its half
	}{{0, 5, 15}, {30 * time.Minute, 40, 60}, {54 * time.Minute, 80, 97}, {time.Hour, 93, 107}} {
		byKey, byTurn, have := share(c.since)
		for _, n := range []int{byKey, byTurn} {
			if n < keys/2*c.from/100 || n > keys/2*c.to/100 {
				t.Errorf("after %v: %d by key and %d by turn of %d", c.since, byKey, byTurn, keys)
			}
		}
		for key := range last {
			if !have[key] {
				t.Fatalf("after %v: %s went away again", c.since, key)
			}
		}
		last = have
	}
	if p.Next(Near{ID: "n2"}, nil) != n2 {
		t.Error("its session went elsewhere")
	}
}
