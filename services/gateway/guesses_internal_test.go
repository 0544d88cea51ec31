package gateway

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestGuesses(t *testing.T) {
	t.Parallel()
	g, err := newGuesses(5, 2)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	from, other := network(netip.MustParseAddr("10.0.0.1")), network(netip.MustParseAddr("10.0.0.2"))
	for i := range 5 {
		if g.wait(from, now) != 0 {
			t.Fatalf("it waits before guess %d", i)
		}
		g.missed(from, now)
	}
	if w := g.wait(from, now); w != time.Second {
		t.Errorf("it waits %v", w)
	}
	if g.wait(other, now) != 0 {
		t.Error("another waits")
	}
	if g.wait(from, now.Add(500*time.Millisecond)) != 0 || g.wait(from, now.Add(499*time.Millisecond)) == 0 {
		t.Error("it gets no more by and by")
	}
	for range 1000 { // that were under way
		g.missed(from, now)
	}
	if w := g.wait(from, now); w != 3*time.Second {
		t.Errorf("it waits %v", w)
	}
	if g.wait(from, now.Add(time.Hour)) != 0 {
		t.Error("it waits for ever")
	}
	for range 5 {
		g.missed(from, now.Add(time.Hour))
	}
	if g.wait(from, now.Add(time.Hour)) == 0 {
		t.Error("an hour saves up more than the burst")
	}
}

func TestANetworkIsOneAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"2001:db8::1", "2001:db8::ffff:1:2:3", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if same := network(netip.MustParseAddr(c.a)) == network(netip.MustParseAddr(c.b)); same != c.same {
			t.Errorf("%s and %s: %t", c.a, c.b, same)
		}
	}
	if unread := network(netip.Addr{}); unread != (netip.Prefix{}) {
		t.Error("who cannot be read is not one")
	}
}

func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	g, err := newGuesses(100, 0.001)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			from := network(netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 2)}))
			for range 10 {
				_ = g.wait(from, time.Now())
				g.missed(from, time.Now())
			}
		})
	}
	all.Wait()
	for i := range byte(2) {
		if g.wait(network(netip.AddrFrom4([4]byte{10, 0, 0, i})), time.Now()) == 0 {
			t.Error("250 guesses of 100")
		}
	}
}
