package rules_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func addresses(t testing.TB, list ...string) rules.Addresses {
	t.Helper()
	a, err := rules.CompileAddresses(list)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := addresses(t, "10.0.0.0/8", "192.0.2.7", "2001:db8::/32")
	for text, want := range map[string]bool{
		"10.255.0.1": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "2001:db8::1": true, "2001:db9::1": false,
	} {
		if got := a.Has(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if a.Has(netip.Addr{}) || (rules.Addresses{}).Has(netip.MustParseAddr("10.0.0.1")) {
		t.Error("an unknown address, or an empty list, is let in")
	}
	if _, err := rules.CompileAddresses([]string{"10.0.0.0/33"}); err == nil {
		t.Error("a range that is none was compiled")
	}
}

func TestParsePeer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1", "[::ffff:10.0.0.1]:80": "10.0.0.1", "[fe80::1%eth0]:80": "fe80::1", "[2001:db8::1]:1": "2001:db8::1",
		"": "invalid IP", "pipe": "invalid IP",
	} {
		if got := rules.ParsePeer(text).String(); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestThrough(t *testing.T) {
	t.Parallel()
	trusted := addresses(t, "10.0.0.0/8", "2001:db8:1::/48")
	const unknown, nobody = "invalid IP", ""
	for _, c := range []struct {
		lines     []string
		forwarded bool
		want      string
	}{
		{nil, false, nobody},
		{[]string{" , "}, false, nobody},
		{[]string{"192.0.2.1"}, false, "192.0.2.1"},
		{[]string{"1.1.1.1, 192.0.2.1"}, false, "192.0.2.1"},
		{[]string{"1.1.1.1, 192.0.2.1, 10.0.0.1"}, false, "192.0.2.1"},
		{[]string{"1.1.1.1", "192.0.2.1, 10.0.0.2", "10.0.0.1"}, false, "192.0.2.1"},
		{[]string{"10.0.0.9, 10.0.0.2"}, false, "10.0.0.9"},
		{[]string{"192.0.2.1:443,10.0.0.1"}, false, "192.0.2.1"},
		{[]string{"[2001:db8::1]:443"}, false, "2001:db8::1"},
		{[]string{"[2001:db8::1]"}, false, "2001:db8::1"},
		{[]string{"2001:db8::1, 2001:db8:1::1"}, false, "2001:db8::1"},
		{[]string{"::ffff:192.0.2.1"}, false, "192.0.2.1"},
		{[]string{"fe80::1%eth0"}, false, "fe80::1"},
		{[]string{"192.0.2.1, unknown, 10.0.0.1"}, false, unknown},
		{[]string{"192.0.2.1, 10.0.0.1x"}, false, unknown},
		{[]string{"garbage, 192.0.2.1"}, false, "192.0.2.1"},
		{[]string{"[192.0.2.1]"}, false, unknown},
		{[]string{"192.0.2.01"}, false, unknown},
		{[]string{"for=192.0.2.1;proto=https;by=10.0.0.1"}, true, "192.0.2.1"},
		{[]string{`For="[2001:db8::1]:47011"`}, true, "2001:db8::1"},
		{[]string{`for=1.1.1.1, for="192.0.2.1:80" ; proto=http , for=10.0.0.1`}, true, "192.0.2.1"},
		{[]string{"for=1.1.1.1", "for=192.0.2.1"}, true, "192.0.2.1"},
		{[]string{"for=unknown"}, true, unknown},
		{[]string{"for=192.0.2.1, for=_hidden, for=10.0.0.1"}, true, unknown},
		{[]string{"for=192.0.2.1, proto=https"}, true, unknown},
		{[]string{`for=1.1.1.1;for=192.0.2.1`}, true, unknown},
		{[]string{`x="`, "for=192.0.2.1"}, true, "192.0.2.1"},
		{[]string{`for=1.1.1.1;x=", for=192.0.2.1`}, true, unknown},
		{[]string{`for=1.1.1.1;x=", for="[2001:db8::1]"`}, true, unknown},
		{[]string{", ,for=192.0.2.1,"}, true, "192.0.2.1"},
		{[]string{""}, true, nobody},
	} {
		got, named := rules.Through(c.lines, c.forwarded, trusted)
		if named != (c.want != nobody) || named && got.String() != c.want {
			t.Errorf("%q: %s, %t; want %q", c.lines, got, named, c.want)
		}
	}
}

// FuzzThrough: whatever a client writes, what the trusted proxy added behind it decides, or nobody is known.
func FuzzThrough(f *testing.F) {
	for _, s := range []string{"", "10.0.0.1", `for="`, `for=10.0.0.1;x="`, `a="\`, "for=1.1.1.1;x", ",", ";", `"`, "for=", "[::1"} {
		f.Add(s)
	}
	trusted := addresses(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, s string) {
		for added, forwarded := range map[string]bool{
			"203.0.113.9": false, "203.0.113.9:80": false, "203.0.113.9, 10.1.1.1": false,
			"for=203.0.113.9": true, "for=203.0.113.9;proto=https;host=h": true, `for="203.0.113.9:80"`: true, `for=203.0.113.9;host="h:80"`: true,
		} {
			for _, lines := range [][]string{{s + ", " + added}, {s, added}} {
				got, named := rules.Through(lines, forwarded, trusted)
				if !named || got.IsValid() && got.String() != "203.0.113.9" {
					t.Fatalf("%q: %s, %t", lines, got, named)
				}
			}
		}
	})
}

// BenchmarkAddresses: ten thousand ranges cost what ten do.
func BenchmarkAddresses(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := make([]string, n)
			for i := range list {
				list[i] = fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
			}
			a, ip := addresses(b, list...), netip.MustParseAddr("10.0.5.77")
			b.ReportAllocs()
			for b.Loop() {
				if !a.Has(ip) {
					b.Fatal("not found")
				}
			}
		})
	}
}
