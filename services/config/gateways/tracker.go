package gateways

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
)

// Options of a Tracker; zero values mean the defaults.
type Options struct {
	// LiveWithin is how long a gateway may be silent and counts as live; default 3 s.
	LiveWithin time.Duration
	// Every is how often the bucket is read; default 1 s.
	Every time.Duration
	// ListedFor gives how long a silent gateway stays on the list that has no entry in the bucket, because it could
	// not write one or the bucket was lost; nil: while it lives.
	ListedFor func() time.Duration
	// At gives the state a log had at a sequence, and false when it was not read so far. It must be set.
	At func(of Log, sequence uint64) (eventlog.State, bool)
}

// Log is one of the logs gateways decide under.
type Log uint8

// The logs.
const (
	Config Log = iota
	Tokens
)

// stateOf gives what a gateway has of a log, and what is wrong with that.
func (l Log) stateOf(beat *configv1.GatewayBeat) (s eventlog.State, trouble string) {
	if l == Tokens {
		s.Seq = beat.GetTokenSequence()
		copy(s.Hash[:], beat.GetTokenHash())
		return s, beat.GetTokenTrouble()
	}
	s.Seq = beat.GetSequence()
	copy(s.Hash[:], beat.GetHash())
	return s, beat.GetTrouble()
}

// Tracker keeps the list. It is safe for concurrent use.
type Tracker struct {
	log  *slog.Logger
	opts Options

	mu      sync.Mutex
	since   time.Time
	hearing time.Time         // since when every beat comes here; zero: not yet
	loaded  bool              // the bucket was read
	entries map[string]*entry // by gateway id
	gone    map[string]string // id to the instance that has signed off
	changed chan struct{}     // closed at each change
}

// entry is one gateway.
type entry struct {
	beat  *configv1.GatewayBeat
	heard time.Time // by our clock
	entry uint64    // revision of its entry in the bucket; 0: none
}

// NewTracker gives an empty list; Run fills it.
func NewTracker(log *slog.Logger, opts Options) *Tracker {
	opts.LiveWithin = cmp.Or(opts.LiveWithin, 3*time.Second)
	opts.Every = cmp.Or(opts.Every, time.Second)
	if opts.ListedFor == nil {
		opts.ListedFor = func() time.Duration { return opts.LiveWithin }
	}
	return &Tracker{
		log: log, opts: opts, since: time.Now(),
		entries: map[string]*entry{}, gone: map[string]string{}, changed: make(chan struct{}),
	}
}

// Gateway is one gateway as the admin API shows it.
type Gateway struct {
	ID        string     `json:"id"`
	Instance  string     `json:"instance"`
	Version   string     `json:"version"`
	Config    State      `json:"config"`
	Applied   bool       `json:"applied"` // it decides under the current configuration, or a later one of this log
	Known     bool       `json:"known"`   // what it decides under is in this log
	Tokens    Tokened    `json:"tokens"`
	Live      bool       `json:"live"`
	BlockedAt uint64     `json:"blocked_at"` // sequence of the commit it cannot apply; 0: none
	Trouble   string     `json:"trouble"`
	FactLevel uint32     `json:"fact_level"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	LastSeen  time.Time  `json:"last_seen"`
}

// State is the configuration a gateway decides under.
type State struct {
	Version uint64 `json:"version"`
	Hash    string `json:"hash"`
}

// Tokened is the state of the token log that a gateway checks API tokens by.
type Tokened struct {
	State
	Applied bool   `json:"applied"`
	Known   bool   `json:"known"`
	Trouble string `json:"trouble,omitempty"`
}

func shown(s eventlog.State) State { return State{Version: s.Seq, Hash: s.Hash.String()} }

// List gives every gateway, by id. config and tokens are what they should have.
func (t *Tracker) List(now time.Time, config, tokens eventlog.State) []Gateway {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Gateway, 0, len(t.entries))
	for _, id := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[id]
		has, trouble := Config.stateOf(e.beat)
		hasTokens, tokenTrouble := Tokens.stateOf(e.beat)
		g := Gateway{
			ID: id, Instance: e.beat.GetInstance(), Version: e.beat.GetVersion(),
			Config: shown(has), Applied: t.applied(Config, e.beat, config), Known: t.known(Config, e.beat),
			Tokens: Tokened{
				State: shown(hasTokens), Applied: t.applied(Tokens, e.beat, tokens), Known: t.known(Tokens, e.beat), Trouble: tokenTrouble,
			},
			Live: t.live(e, now), BlockedAt: e.beat.GetBlockedAt(), Trouble: trouble, FactLevel: levelOf(e.beat), LastSeen: e.heard.UTC(),
		}
		if e.beat.GetStartedAt() != nil {
			at := e.beat.GetStartedAt().AsTime()
			g.StartedAt = &at
		}
		out = append(out, g)
	}
	return out
}

// Pending gives the gateways on the list, live or silent, that do not decide under a state of a log yet.
func (t *Tracker) Pending(of Log, wanted eventlog.State) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []string{}
	for _, id := range slices.Sorted(maps.Keys(t.entries)) {
		if !t.applied(of, t.entries[id].beat, wanted) {
			out = append(out, id)
		}
	}
	return out
}

// Wait returns when every live gateway decides under a state of a log, or ctx ends.
func (t *Tracker) Wait(ctx context.Context, of Log, wanted eventlog.State) {
	tick := time.NewTicker(t.opts.LiveWithin / 10) // who falls silent is no longer waited for
	defer tick.Stop()
	for {
		t.mu.Lock()
		changed, done := t.changed, t.loaded
		now := time.Now()
		for _, e := range t.entries {
			done = done && (t.applied(of, e.beat, wanted) || !t.live(e, now))
		}
		t.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// Loaded tells whether the bucket was ever read: until then the list may be short.
func (t *Tracker) Loaded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded
}

// Live counts the gateways that live, and those on the list.
func (t *Tracker) Live(now time.Time) (live, listed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if t.live(e, now) {
			live++
		}
	}
	return live, len(t.entries)
}

// LowestLevel gives the lowest fact level among the gateways that live, and whose it is; 0 when none lives.
// While this process is too young to know who is silent, all on the list count.
func (t *Tracker) LowestLevel(now time.Time) (level uint32, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	young := now.Sub(t.since) < t.opts.LiveWithin
	for _, candidate := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[candidate]
		if (young || t.live(e, now)) && (id == "" || levelOf(e.beat) < level) {
			level, id = levelOf(e.beat), candidate
		}
	}
	return level, id
}

// live needs mu.
func (t *Tracker) live(e *entry, now time.Time) bool { return now.Sub(e.heard) < t.opts.LiveWithin }

// levelOf gives the highest fact level a gateway folds; one that says none is of the first day.
func levelOf(beat *configv1.GatewayBeat) uint32 { return max(beat.GetFactLevel(), 1) }

// known tells whether what a gateway has of a log is in our log.
func (t *Tracker) known(of Log, beat *configv1.GatewayBeat) bool {
	has, _ := of.stateOf(beat)
	at, read := t.opts.At(of, has.Seq)
	return read && at == has
}

// applied tells whether a gateway decides under a state of a log, or under a later one that follows it. A sequence
// alone proves nothing: a log that was lost counts from 1 again. A gateway in trouble is not relied on.
func (t *Tracker) applied(of Log, beat *configv1.GatewayBeat, wanted eventlog.State) bool {
	has, trouble := of.stateOf(beat)
	return trouble == "" && has.Seq >= wanted.Seq && t.known(of, beat)
}

// Stranger is a gateway that decides under a state that is not in our log, as far as the log was read.
type Stranger struct {
	ID    string
	State eventlog.State
}

// Strangers gives the gateways on the list, live or silent, whose state of a log is not in ours.
func (t *Tracker) Strangers(of Log) []Stranger {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Stranger
	for _, id := range slices.Sorted(maps.Keys(t.entries)) {
		if beat := t.entries[id].beat; !t.known(of, beat) {
			has, _ := of.stateOf(beat)
			out = append(out, Stranger{ID: id, State: has})
		}
	}
	return out
}

// Listened waits until beats were heard for so long that whoever lives is on the list, or gives ctx's error.
func (t *Tracker) Listened(ctx context.Context, long time.Duration) error {
	for {
		t.mu.Lock()
		changed, since := t.changed, t.hearing
		t.mu.Unlock()
		var enough <-chan time.Time
		if !since.IsZero() {
			left := long - time.Since(since)
			if left <= 0 {
				return nil
			}
			enough = time.After(left)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("listen for gateways: %w", ctx.Err())
		case <-changed:
		case <-enough:
		}
	}
}
