package eventlog_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// verdict is what a follower says of a damaged log: how it breaks or, with no kind, that it goes on.
type verdict struct {
	kind eventlog.Kind
	seq  uint64
}

var goesOn = verdict{}

// damages are done to the files of a stopped server whose log has 20 commits, in one block.
//
// What nats-server 2.15.2 makes of them depends on its index.db. After a clean stop it is there and believed:
// the stream still ends at 20, and what cannot be read is a hole that no append can fill. After a kill it is
// out of date, and the block is read: at the first record that does not fit the rest is cut off, with a line
// in the server's log, so one flipped bit in the middle costs all behind it.
var damages = []struct {
	name   string
	killed bool // not stopped cleanly: no index.db
	do     func(block []byte) []byte
	ends   uint64  // the log, as a new follower finds it
	at20   verdict // of who has all, following or starting again
	at5    verdict
}{
	{"tail cut off", false, cutTail, 17, verdict{eventlog.Gap, 20}, verdict{eventlog.Gap, 18}},
	{"tail cut off, killed", true, cutTail, 17, verdict{eventlog.Rewound, 17}, goesOn},
	{"bit flipped in the last", false, flip(20), 19, verdict{eventlog.Gap, 20}, verdict{eventlog.Gap, 20}},
	{"bit flipped in the last, killed", true, flip(20), 19, verdict{eventlog.Rewound, 19}, goesOn},
	{"bit flipped in the middle", false, flip(11), 10, goesOn, verdict{eventlog.Gap, 11}}, // who has it need not read it
	{"bit flipped in the middle, killed", true, flip(11), 10, verdict{eventlog.Rewound, 10}, goesOn},
	{"emptied", false, empty, 0, verdict{eventlog.Gap, 20}, verdict{eventlog.Gap, 6}},
	{"emptied, killed", true, empty, 0, verdict{eventlog.Rewound, 0}, verdict{eventlog.Rewound, 0}},
}

// body is what fill gives the commit of a sequence to hold.
func body(seq uint64) []byte { return fmt.Appendf(nil, "good %d, request %d", seq-1, seq-1) }

func cutTail(block []byte) []byte { return block[:bytes.Index(block, body(18))+3] }

func empty([]byte) []byte { return nil }

func flip(seq uint64) func([]byte) []byte {
	return func(block []byte) []byte {
		block[bytes.Index(block, body(seq))+2] ^= 1
		return block
	}
}

func TestDamageOnDisk(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			log := open(t, n)
			states := fill(t, log, eventlog.State{}, 20, "good")
			ahead := follow(t, log, states[20])
			ahead.settles(t)
			n.Stop()
			msgs := filepath.Join(n.Store(), topology.StreamConfig, "msgs")
			edit(t, filepath.Join(msgs, "1.blk"), d.do)
			if d.killed {
				if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
					t.Fatal(err)
				}
			}
			n.Start(t)
			for _, f := range []*followed{ahead, follow(t, log, states[20])} {
				f.says(t, d.at20)
			}
			behind := follow(t, log, states[5])
			behind.says(t, d.at5)
			fresh := follow(t, log, eventlog.State{})
			fresh.until(t, "what is left", func() bool { return uint64(len(fresh.applied)) >= d.ends })
			if fresh.at != states[d.ends] {
				t.Errorf("a new follower is at %v, want %v", fresh.at, states[d.ends])
			}
			if d.killed {
				heal(t, log, states, d.ends)
				return
			}
			fresh.says(t, verdict{eventlog.Gap, d.ends + 1})
			_, err := log.Append(t.Context(), states[d.ends], []byte("into the hole"))
			wantBroken(t, err, eventlog.Gap, d.ends+1)
		})
	}
}

// heal appends what was lost, the very same bytes, and has the very same log.
func heal(t *testing.T, log *eventlog.Log, states []eventlog.State, ends uint64) {
	t.Helper()
	if _, err := log.Append(t.Context(), states[20], []byte("as if nothing had happened")); err == nil {
		t.Error("an append to what is lost has succeeded")
	} else {
		wantBroken(t, err, eventlog.Rewound, ends)
	}
	for seq := ends + 1; seq <= 20; seq++ {
		got, err := log.Append(t.Context(), states[seq-1], body(seq))
		if err != nil || got != states[seq] {
			t.Fatalf("append %d again: %v, %v; want %v", seq, got, err, states[seq])
		}
	}
	follow(t, log, states[20]).settles(t)
	if got := mustRead(t, log); got[19].State != states[20] {
		t.Errorf("the log ends in %v, want %v", got[19].State, states[20])
	}
}

// says waits for what a follower has to say.
func (f *followed) says(t *testing.T, v verdict) {
	t.Helper()
	if v == goesOn {
		f.settles(t)
		return
	}
	f.breaks(t, v.kind, v.seq)
}

func edit(t *testing.T, file string, do func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, do(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gate is a server that a client cannot come back to while it is shut.
type gate struct {
	nats.InProcessConnProvider
	shut atomic.Bool
}

func (g *gate) InProcessConn() (net.Conn, error) {
	if g.shut.Load() {
		return nil, net.ErrClosed
	}
	return g.InProcessConnProvider.InProcessConn()
}

// rivals are streams that take the place of a log of 20 commits behind everybody's back: what they hold, and
// what followers and writers who know that log must say.
var rivals = []struct {
	name   string
	common uint64 // commits of the log that was
	others int    // behind them
	at20   verdict
	append verdict // of a writer
	at10   verdict
}{
	{"older copy", 15, 0, verdict{eventlog.Rewound, 15}, verdict{eventlog.Rewound, 15}, goesOn},
	{"older copy and some others", 15, 3, verdict{eventlog.Rewound, 18}, verdict{eventlog.Rewound, 18}, goesOn},
	{"older copy and as many others", 15, 5, verdict{eventlog.Forked, 20}, verdict{eventlog.Forked, 20}, goesOn},
	{"older copy and more others", 15, 7, verdict{eventlog.Forked, 21}, verdict{eventlog.Forked, 20}, goesOn},
	{"made anew", 0, 0, verdict{eventlog.Rewound, 0}, verdict{eventlog.Rewound, 0}, verdict{eventlog.Rewound, 0}},
	{"made anew with some others", 0, 7, verdict{eventlog.Rewound, 7}, verdict{eventlog.Rewound, 7}, verdict{eventlog.Rewound, 7}},
	{"made anew with as many others", 0, 20, verdict{eventlog.Forked, 20}, verdict{eventlog.Forked, 20}, verdict{eventlog.Forked, 11}},
	{"made anew with more others", 0, 22, verdict{eventlog.Forked, 21}, verdict{eventlog.Forked, 20}, verdict{eventlog.Forked, 11}},
}

func TestAnotherStreamInItsPlace(t *testing.T) {
	t.Parallel()
	for _, r := range rivals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			log := open(t, n)
			old := fill(t, log, eventlog.State{}, int(r.common), "good")[r.common]
			backup := filepath.Join(t.TempDir(), "backup")
			stream := filepath.Join(n.Store(), topology.StreamConfig)
			n.Stop()
			if err := os.CopyFS(backup, os.DirFS(stream)); err != nil {
				t.Fatal(err)
			}
			n.Start(t)
			state20 := fill(t, log, old, 20-int(r.common), "good")[20-r.common]
			state10 := state20
			for _, c := range mustRead(t, log)[:10] {
				state10 = c.State
			}

			door := &gate{InProcessConnProvider: n}
			f := follow(t, openTapped(t, n, topology.Gateway, &tap{inner: door}), state20)
			f.settles(t)
			door.shut.Store(true)
			n.Stop()
			if err := os.RemoveAll(stream); err != nil {
				t.Fatal(err)
			}
			if r.common > 0 {
				if err := os.CopyFS(stream, os.DirFS(backup)); err != nil {
					t.Fatal(err)
				}
			}
			n.Start(t)
			if err := topology.Ensure(t.Context(), n.JetStream(t, topology.Config), topology.Limits{}); err != nil {
				t.Fatal(err)
			}
			other := open(t, n)
			fill(t, other, old, r.others, "other")
			door.shut.Store(false)

			f.says(t, r.at20)
			follow(t, log, state20).says(t, r.at20)
			follow(t, log, state10).says(t, r.at10)
			_, err := log.Append(t.Context(), state20, []byte("onto another history"))
			wantBroken(t, err, r.append.kind, r.append.seq)
			if got := mustRead(t, other); len(got) != int(r.common)+r.others {
				t.Errorf("the stream holds %d commits", len(got))
			}
		})
	}
}

// TestWhatIsNoCommit: a message with the right sequence that Append did not make.
func TestWhatIsNoCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prev, id func(at, next eventlog.State) string
		want     eventlog.Kind
	}{
		"no headers":     {nil, nil, eventlog.Altered},
		"no hash":        {func(at, _ eventlog.State) string { return at.Hash.String() }, nil, eventlog.Altered},
		"rubbish":        {func(_, _ eventlog.State) string { return "x" }, func(_, next eventlog.State) string { return next.Hash.String() }, eventlog.Altered},
		"another's hash": {func(at, _ eventlog.State) string { return at.Hash.String() }, func(at, _ eventlog.State) string { return at.Hash.String() }, eventlog.Altered},
		"another history": {
			func(_, _ eventlog.State) string { return eventlog.State{}.Hash.String() },
			func(_, next eventlog.State) string { return eventlog.State{}.Next([]byte("foreign")).Hash.String() },
			eventlog.Forked,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			log := open(t, n)
			states := fill(t, log, eventlog.State{}, 3, "good")
			ahead := follow(t, log, states[3])
			ahead.settles(t)
			msg := nats.NewMsg(topology.ConfigLog().Subject)
			msg.Data = []byte("foreign")
			at, next := states[3], states[3].Next(msg.Data)
			if c.prev != nil {
				msg.Header.Set(eventlog.HeaderPrev, c.prev(at, next))
			}
			if c.id != nil {
				msg.Header.Set(jetstream.MsgIDHeader, c.id(at, next))
			}
			if _, err := n.JetStream(t, topology.Config).PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			if name == "another's hash" { // a duplicate for JetStream, which does not store it
				ahead.settles(t)
				return
			}
			ahead.breaks(t, c.want, 4)
			follow(t, log, states[1]).breaks(t, c.want, 4)
			_, err := log.Append(t.Context(), at, []byte("behind it"))
			wantBroken(t, err, c.want, 4)
		})
	}
}
