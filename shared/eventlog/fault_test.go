package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// TestLostMessagesAndAcknowledgements cuts the connection of four writers, who append to one log, exactly
// when a commit goes out or its acknowledgement comes in, again and again.
func TestLostMessagesAndAcknowledgements(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 50
	n := testkit.StartNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	var (
		mu        sync.Mutex
		succeeded = map[eventlog.State]string{}
		lostAcks  atomic.Int64
		lostMsgs  atomic.Int64
		group     sync.WaitGroup
	)
	for w := range writers {
		log := openTapped(t, n, topology.Config, &tap{
			in: func(_ string, payload []byte) fate {
				if isAck(payload) && rand.N(2) == 0 {
					lostAcks.Add(1)
					return cut
				}
				return pass
			},
			out: func(data []byte) fate {
				if bytes.Contains(data, []byte("HPUB log.config ")) && rand.N(4) == 0 {
					lostMsgs.Add(1)
					return cut
				}
				return pass
			},
		})
		group.Go(func() {
			var at eventlog.State
			for i := 0; i < each; {
				data := fmt.Appendf(nil, "writer %d commit %d", w, i)
				next, err := log.Append(ctx, at, data)
				var conflict *eventlog.ConflictError
				switch {
				case err == nil:
					mu.Lock()
					succeeded[next] = string(data)
					mu.Unlock()
					at = next
					i++
				case errors.As(err, &conflict):
					got, err := read(ctx, log, at)
					if err != nil {
						t.Error(err)
						return
					}
					at = got[len(got)-1].State
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d acknowledgements and %d messages lost", lostAcks.Load(), lostMsgs.Load())
	if lostAcks.Load() < writers*each/4 {
		t.Errorf("only %d acknowledgements were lost: the test tests nothing", lostAcks.Load())
	}
	got := mustRead(t, open(t, n))
	seen := map[string]bool{}
	for _, c := range got {
		if succeeded[c.State] != string(c.Data) {
			t.Errorf("commit %d %q was not reported as a success", c.Seq, c.Data)
		}
		if seen[string(c.Data)] {
			t.Errorf("%q is there twice", c.Data)
		}
		seen[string(c.Data)] = true
	}
	if len(got) != writers*each || len(succeeded) != len(got) {
		t.Errorf("%d commits and %d successes, want %d", len(got), len(succeeded), writers*each)
	}
}

// TestTheServerStopsAndStarts in the middle of appends and of following.
func TestTheServerStopsAndStarts(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	log := open(t, n)
	f := follow(t, eventlog.New(n.JetStream(t, topology.Gateway), topology.ConfigLog(), fast), eventlog.State{})
	f.settles(t)
	var group sync.WaitGroup
	defer group.Wait()
	appended := make(chan eventlog.State)
	group.Go(func() {
		defer close(appended)
		var at eventlog.State
		for i := range 60 {
			next, err := log.Append(t.Context(), at, fmt.Appendf(nil, "commit %d", i))
			if err != nil {
				t.Error(err)
				return
			}
			at = next
			appended <- at
		}
	})
	var last eventlog.State
	for at := range appended {
		last = at
		if at.Seq%10 == 5 {
			n.Stop()
			f.mu.Lock()
			before := len(f.away)
			f.mu.Unlock()
			f.until(t, "away", func() bool { return len(f.away) > before })
			n.Start(t)
		}
	}
	f.reaches(t, last)
	f.settles(t)
	if last.Seq != 60 {
		t.Errorf("the last commit is %d", last.Seq)
	}
}

// TestARepublishedMessage that is lost, doubled or late: the follower has it from elsewhere.
func TestARepublishedMessage(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]func() fate{
		"is lost now and then": func() fate { return fate(rand.N(2)) },
		"is always lost":       func() fate { return drop },
		"comes twice":          func() fate { return twice },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			wire := &tap{in: func(subject string, _ []byte) fate {
				if subject == topology.ConfigLog().Live {
					return in()
				}
				return pass
			}}
			f := follow(t, openTapped(t, n, topology.Gateway, wire), eventlog.State{})
			states := fill(t, open(t, n), eventlog.State{}, 100, name)
			f.reaches(t, states[100])
			last := fill(t, open(t, n), states[100], 1, name) // nothing after it tells of it
			f.reaches(t, last[1])
		})
	}
}

// TestADamagedReplica: what a direct get says is no proof, the leader is asked.
func TestADamagedReplica(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]func(payload []byte) fate{
		"lacks commits": func([]byte) fate { return fate(rand.N(2)) },
		"holds altered commits": func(payload []byte) fate {
			if i := bytes.LastIndex(payload, []byte("request")); i > 0 {
				payload[i] ^= byte(rand.N(2))
			}
			return pass
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			wire := &tap{in: func(subject string, payload []byte) fate {
				if subject != topology.ConfigLog().Live && bytes.Contains(payload, []byte("\r\nNats-Num-Pending: ")) && bytes.Contains(payload, []byte(eventlog.HeaderPrev)) {
					return in(payload)
				}
				return pass
			}}
			states := fill(t, open(t, n), eventlog.State{}, 100, name)
			f := follow(t, openTapped(t, n, topology.Gateway, wire), eventlog.State{})
			f.reaches(t, states[100])
			f.settles(t)
		})
	}
}

// TestAMemberWithoutALeader: such a one answers what it has, which may be less than all, and names no leader.
func TestAMemberWithoutALeader(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	var leaderless, lags atomic.Bool
	replace := func(payload []byte, old, by string) {
		if i := bytes.Index(payload, []byte(old)); i >= 0 {
			copy(payload[i:], by+strings.Repeat(" ", len(old)-len(by)))
		}
	}
	wire := &tap{in: func(_ string, payload []byte) fate {
		if leaderless.Load() && bytes.Contains(payload, []byte("stream_info_response")) {
			replace(payload, `"leader":"gatehouse"`, `"leader":""`)
			if lags.Load() {
				replace(payload, `"last_seq":4`, `"last_seq":3`)
			}
		}
		return pass
	}}
	states := fill(t, open(t, n), eventlog.State{}, 4, "commit")
	f := follow(t, openTapped(t, n, topology.Gateway, wire), eventlog.State{})
	f.reaches(t, states[4])
	for _, behind := range []bool{false, true} {
		lags.Store(behind)
		leaderless.Store(true)
		f.until(t, "away", func() bool { return len(f.away) > 0 })
		f.mu.Lock()
		settled := f.settled
		f.mu.Unlock()
		f.until(t, "long away", func() bool { return len(f.away) > 5 || f.ended != nil })
		f.mu.Lock()
		if f.settled != settled || f.ended != nil {
			t.Errorf("settled %d times, ended %v", f.settled-settled, f.ended)
		}
		f.away = nil
		f.mu.Unlock()
		leaderless.Store(false)
		f.settles(t)
	}
}

func TestACommitThatIsRefused(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	log := open(t, n)
	states := fill(t, log, eventlog.State{}, 5, "before")
	refusal := errors.New("no such thing")
	for _, from := range []int{0, 2, 3} {
		var applied []uint64
		err := log.Follow(t.Context(), states[from], eventlog.Follower{
			Apply: func(c eventlog.Commit) error {
				if c.Seq == 4 {
					return refusal
				}
				applied = append(applied, c.Seq)
				return nil
			},
			Settled: func(s eventlog.State) { t.Errorf("settled at %d", s.Seq) },
		})
		var poison *eventlog.PoisonError
		if !errors.As(err, &poison) || poison.Seq != 4 || !errors.Is(err, refusal) {
			t.Errorf("from %d: %v", from, err)
		}
		if len(applied) != 3-from {
			t.Errorf("from %d: applied %v", from, applied)
		}
	}
}

// TestALiveCommitThatIsRefused is the same for one that arrives while following.
func TestALiveCommitThatIsRefused(t *testing.T) {
	t.Parallel()
	log := open(t, testkit.StartNATS(t))
	settled := make(chan eventlog.State, 1)
	ended := make(chan error)
	go func() {
		ended <- log.Follow(t.Context(), eventlog.State{}, eventlog.Follower{
			Apply:   func(eventlog.Commit) error { return errors.New("no such thing") },
			Settled: func(s eventlog.State) { settled <- s },
		})
	}()
	<-settled
	fill(t, log, eventlog.State{}, 2, "live")
	var poison *eventlog.PoisonError
	for {
		select {
		case s := <-settled:
			if s.Seq != 0 {
				t.Errorf("settled at %d", s.Seq)
			}
		case err := <-ended:
			if !errors.As(err, &poison) || poison.Seq != 1 {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}

// TestALogThatBreaksBehindAnAppend: the commit was stored, its acknowledgement is lost, and what is read then cannot
// be. Nobody may say that nothing was stored.
func TestALogThatBreaksBehindAnAppend(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	var broken atomic.Bool
	wire := &tap{in: func(_ string, payload []byte) fate {
		if isAck(payload) {
			broken.Store(true)
			return drop
		}
		if i := bytes.Index(payload, []byte(`"hdrs":"TkFUUy`)); i >= 0 && broken.Load() {
			payload[i+len(`"hdrs":"`)] = 'X'
		}
		return pass
	}}
	states := fill(t, open(t, n), eventlog.State{}, 1, "before")
	log := openTapped(t, n, topology.Config, wire)
	_, err := log.Append(t.Context(), states[1], []byte("sent"))
	wantBroken(t, err, eventlog.Altered, 2)
	if !errors.Is(err, eventlog.ErrUnclear) {
		t.Errorf("it is not unclear: %v", err)
	}
	if got := mustRead(t, open(t, n)); len(got) != 2 || string(got[1].Data) != "sent" {
		t.Errorf("the log holds %v", got)
	}
	_, err = log.Append(t.Context(), states[1], []byte("not sent"))
	wantBroken(t, err, eventlog.Altered, 1)
	if errors.Is(err, eventlog.ErrUnclear) {
		t.Errorf("nothing was sent: %v", err)
	}
}

func TestAnAppendWhoseContextEnds(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	ended, end := context.WithCancelCause(t.Context())
	why := errors.New("the caller went away")
	end(why)
	_, err := open(t, n).Append(ended, eventlog.State{}, []byte("never sent"))
	if !errors.Is(err, eventlog.ErrNotStored) || !errors.Is(err, why) || errors.Is(err, eventlog.ErrUnclear) {
		t.Errorf("ended before: %v", err)
	}

	silent := &tap{in: func(_ string, payload []byte) fate {
		if isAck(payload) || bytes.Contains(payload, []byte("stream_msg_get_response")) {
			return drop
		}
		return pass
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	_, err = openTapped(t, n, topology.Config, silent).Append(ctx, eventlog.State{}, []byte("sent"))
	if !errors.Is(err, eventlog.ErrUnclear) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	if got := mustRead(t, open(t, n)); len(got) != 1 || string(got[0].Data) != "sent" {
		t.Errorf("the log holds %v", got)
	}
	if next, err := open(t, n).Append(t.Context(), eventlog.State{}, []byte("sent")); err != nil || next.Seq != 1 {
		t.Errorf("the same again: %v, %v", next, err)
	}

	n.Stop()
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = open(t, n).Append(ctx, eventlog.State{}, []byte("nobody there"))
	if !errors.Is(err, eventlog.ErrNotStored) {
		t.Errorf("no server: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	log := open(t, testkit.StartNATS(t))
	at, err := log.Append(t.Context(), eventlog.State{}, make([]byte, eventlog.MaxCommit))
	if err != nil {
		t.Fatalf("the largest: %v", err)
	}
	if _, err := log.Append(t.Context(), at, make([]byte, eventlog.MaxCommit+1)); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Fatalf("one byte more: %v", err)
	}
	fill(t, log, at, 3, "behind a large one")
	mustRead(t, log)
}

// TestNoRights: NATS does not answer who may not ask, it only tells the connection. A service that may read
// the log but not write it must be told at the first attempt, not retried until its context ends.
func TestNoRights(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	log := eventlog.New(n.JetStream(t, topology.Gateway), topology.ConfigLog(), fast)
	for range 2 {
		start := time.Now()
		_, err := log.Append(t.Context(), eventlog.State{}, []byte("not mine"))
		if !errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, eventlog.ErrUnclear) || !strings.Contains(err.Error(), `"log.config"`) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 2*fast.Attempt {
			t.Errorf("took %v", took)
		}
	}
	if got := mustRead(t, open(t, n)); len(got) != 0 {
		t.Errorf("the log holds %v", got)
	}

	f := follow(t, eventlog.New(n.JetStream(t, topology.RateLimit), topology.TokenLog(), fast), eventlog.State{})
	f.until(t, "away", func() bool { return len(f.away) > 0 && errors.Is(f.away[0], nats.ErrPermissionViolation) })
}

// TestAFullStream refuses for as long as it is full.
func TestAFullStream(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	log := open(t, n)
	limit := func(msgs int64) {
		t.Helper()
		for _, s := range topology.Streams(topology.Limits{}) {
			if s.Name == topology.StreamConfig {
				s.MaxMsgs = msgs
				if _, err := js.UpdateStream(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	limit(3)
	states := fill(t, log, eventlog.State{}, 3, "fits")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := log.Append(ctx, states[3], []byte("one more"))
	var api *jetstream.APIError
	ended := errors.Is(err, eventlog.ErrNotStored) || errors.Is(err, eventlog.ErrUnclear) // in the middle of an attempt
	if !ended || !errors.As(err, &api) || api.ErrorCode != 10077 {
		t.Errorf("got %v", err)
	}
	limit(-1)
	if next, err := log.Append(t.Context(), states[3], []byte("one more")); err != nil || next.Seq != 4 {
		t.Errorf("with room again: %v, %v", next, err)
	}
}

// TestFollowLeavesNothingBehind on the connection, however often it is started and the server goes away.
func TestFollowLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	log := eventlog.New(js, topology.ConfigLog(), fast)
	states := fill(t, log, eventlog.State{}, 300, "commit")
	before := js.Conn().NumSubscriptions()
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := read(ctx, log, states[i]); err != nil {
			t.Error(err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := log.Follow(ctx, eventlog.State{}, eventlog.Follower{
		Apply: func(c eventlog.Commit) error {
			if c.Seq == 100 {
				n.Stop()
			}
			return nil
		},
		Away: func(error) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := js.Conn().NumSubscriptions(); after != before {
		t.Errorf("%d subscriptions before, %d after", before, after)
	}
}

func TestAClosedConnection(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	js := n.JetStream(t, topology.Config)
	log := eventlog.New(js, topology.ConfigLog(), fast)
	f := follow(t, log, eventlog.State{})
	f.settles(t)
	js.Conn().Close()
	f.until(t, "end", func() bool { return errors.Is(f.ended, nats.ErrConnectionClosed) })
	if _, err := log.Append(t.Context(), eventlog.State{}, []byte("too late")); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("append: %v", err)
	}
	if err := log.Follow(t.Context(), eventlog.State{}, eventlog.Follower{}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("follow: %v", err)
	}
}
