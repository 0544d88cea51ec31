package upstream

import (
	"fmt"
	"testing"
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
