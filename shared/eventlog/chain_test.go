package eventlog_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// drawState gives a State of some history.
func drawState(t *rapid.T) eventlog.State {
	s := eventlog.State{Seq: rapid.Uint64Range(0, 1<<40).Draw(t, "seq")}
	copy(s.Hash[:], rapid.SliceOfN(rapid.Byte(), len(s.Hash), len(s.Hash)).Draw(t, "hash"))
	return s
}

// drawChain gives an unbroken chain of at least least commits behind at.
func drawChain(t *rapid.T, at eventlog.State, least int) []eventlog.Commit {
	var chain []eventlog.Commit
	for _, data := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), least, 8).Draw(t, "data") {
		next := at.Next(data)
		chain = append(chain, eventlog.Commit{State: next, Prev: at.Hash, Data: data})
		at = next
	}
	return chain
}

func TestVerifyTakesAnUnbrokenChain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := drawState(t)
		chain := drawChain(t, at, 0)
		want := at
		if len(chain) > 0 {
			want = chain[len(chain)-1].State
		}
		if got, err := eventlog.Verify(at, chain); err != nil || got != want {
			t.Fatalf("got %v, %v; want %v", got, err, want)
		}
	})
}

// harms are ways to break a chain at one of its commits, which is neither the first nor the last, and the
// kind and the place (from that commit) that must be named.
var harms = map[string]struct {
	kind eventlog.Kind
	at   int
	do   func(t *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit
}{
	"drop": {eventlog.Gap, 0, func(_ *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		return slices.Delete(chain, i, i+1)
	}},
	"twice": {eventlog.Gap, 1, func(_ *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		return slices.Insert(chain, i, chain[i])
	}},
	"swap": {eventlog.Gap, 0, func(_ *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		chain[i], chain[i+1] = chain[i+1], chain[i]
		return chain
	}},
	"alter data": {eventlog.Altered, 0, func(t *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		chain[i].Data = append(slices.Clone(chain[i].Data), rapid.Byte().Draw(t, "byte"))
		return chain
	}},
	"alter hash": {eventlog.Altered, 0, func(t *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		chain[i].Hash[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return chain
	}},
	"alter prev": {eventlog.Altered, 0, func(t *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		chain[i].Prev[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return chain
	}},
	"fork": {eventlog.Forked, 1, func(_ *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		chain[i].Data = append(slices.Clone(chain[i].Data), '!')
		chain[i].State = eventlog.State{Seq: chain[i].Seq - 1, Hash: chain[i].Prev}.Next(chain[i].Data)
		return chain // well made, but what follows was appended to another
	}},
	"insert": {eventlog.Gap, 1, func(_ *rapid.T, chain []eventlog.Commit, i int) []eventlog.Commit {
		before := eventlog.State{Seq: chain[i].Seq - 1, Hash: chain[i].Prev}
		data := []byte("smuggled in")
		return slices.Insert(chain, i, eventlog.Commit{State: before.Next(data), Prev: before.Hash, Data: data})
	}},
}

func TestVerifyNamesWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				at := drawState(t)
				chain := drawChain(t, at, 3)
				i := rapid.IntRange(1, len(chain)-2).Draw(t, "i")
				seq := chain[i].Seq + uint64(harm.at)
				chain = harm.do(t, chain, i)
				good := chain[i+harm.at-1].State
				got, err := eventlog.Verify(at, chain)
				var broken *eventlog.BrokenError
				if !asBroken(err, &broken) || broken.Kind != harm.kind || broken.Seq != seq {
					t.Fatalf("got %v, want %s at %d", err, harm.kind, seq)
				}
				if got != good || broken.At != good {
					t.Fatalf("last good is %v and %v, want %v", got, broken.At, good)
				}
			})
		})
	}
}

func TestVerifyRefusesAnotherHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := drawState(t)
		chain := drawChain(t, at, 1)
		other := at
		other.Hash[0] ^= 1
		_, err := eventlog.Verify(other, chain)
		var broken *eventlog.BrokenError
		if !asBroken(err, &broken) || broken.Kind != eventlog.Forked || broken.Seq != at.Seq+1 {
			t.Fatalf("got %v, want forked at %d", err, at.Seq+1)
		}
	})
}

// TestNextTellsHistoriesApart: no two histories of a few small commits end in the same State, wherever one
// commit ends and the next begins.
func TestNextTellsHistoriesApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 3), 0, 4)
		one, two := history.Draw(t, "one"), history.Draw(t, "two")
		end := func(h [][]byte) (s eventlog.State) {
			for _, data := range h {
				s = s.Next(data)
			}
			return s
		}
		if same := slices.EqualFunc(one, two, bytes.Equal); same != (end(one) == end(two)) {
			t.Fatalf("%q ends in %v, %q in %v", one, end(one), two, end(two))
		}
	})
}

func TestStatesAndHashesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		got, err := eventlog.ParseState(s.String())
		if err != nil || got != s {
			t.Fatalf("got %v, %v; want %v", got, err, s)
		}
		hash, err := eventlog.ParseHash(s.Hash.String())
		if err != nil || hash != s.Hash {
			t.Fatalf("got %v, %v; want %v", hash, err, s.Hash)
		}
	})
}

// TestRubbishIsNoState: what ParseState takes is what String gives, to the letter.
func TestRubbishIsNoState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawState(t).String()
		i := rapid.IntRange(0, len(text)).Draw(t, "i")
		j := rapid.IntRange(i, len(text)).Draw(t, "j")
		text = text[:i] + rapid.StringOf(rapid.RuneFrom([]rune("0159afAF-+_ x\x00ſ"))).Draw(t, "instead") + text[j:]
		if s, err := eventlog.ParseState(text); err == nil && s.String() != text {
			t.Fatalf("%q is read as %v", text, s)
		}
	})
	zero := eventlog.State{}.String()
	for _, text := range []string{"", "-", "0", "0-", zero[1:], "-1" + zero[1:], "+0" + zero[1:], "00" + zero[1:], zero + "0", zero[:len(zero)-1], "18446744073709551616" + zero[1:], " " + zero} {
		if s, err := eventlog.ParseState(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
	if got, err := eventlog.ParseState(zero); err != nil || !cmp.Equal(got, eventlog.State{}) {
		t.Errorf("the empty log: %v, %v", got, err)
	}
}
