package config

import (
	"sync"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/config/facts"
)

// history is every commit this process has folded, from the first, as stored and as read: what GET answers of
// the past, what followers with a damaged stream are given, and what a cut stream is healed from.
type history struct {
	mu      sync.RWMutex
	commits []commit // that of sequence n at n-1
}

// commit is one change that was made.
type commit struct {
	eventlog.Commit
	meta  *configv1.Commit // without its facts
	facts []proto.Message
}

// add takes the next commit; the follower calls it in order, without a gap.
func (h *history) add(c eventlog.Commit, meta *configv1.Commit, facts []proto.Message) {
	meta.Facts = nil // they are in facts, and in the bytes
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, commit{Commit: c, meta: meta, facts: facts})
}

// since gives the commits from a sequence on. What it gives never changes.
func (h *history) since(from uint64) []commit {
	h.mu.RLock()
	defer h.mu.RUnlock()
	from = max(from, 1)
	if from > uint64(len(h.commits)) {
		return nil
	}
	return h.commits[from-1:]
}

// stored gives the commits from a sequence on, as stored.
func (h *history) stored(from uint64) []eventlog.Commit {
	commits := h.since(from)
	all := make([]eventlog.Commit, len(commits))
	for i := range commits {
		all[i] = commits[i].Commit
	}
	return all
}

// upTo gives the first commits, up to a sequence, or false when there are not so many.
func (h *history) upTo(to uint64) ([]commit, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if to > uint64(len(h.commits)) {
		return nil, false
	}
	return h.commits[:to], true
}

// state gives the state at a sequence.
func (h *history) state(seq uint64) (eventlog.State, bool) {
	commits, ok := h.upTo(seq)
	if !ok || seq == 0 {
		return eventlog.State{}, ok
	}
	return commits[seq-1].State, true
}

// head gives the last state.
func (h *history) head() eventlog.State {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.commits) == 0 {
		return eventlog.State{}
	}
	return h.commits[len(h.commits)-1].State
}

// config gives the configuration of then, folded anew from the first commit; false when there was none yet.
func (h *history) config(seq uint64) (configlog.Config, eventlog.State, bool, error) {
	commits, ok := h.upTo(seq)
	state, _ := h.state(seq)
	if !ok {
		return configlog.Config{}, state, false, nil
	}
	var all []proto.Message
	for _, c := range commits {
		all = append(all, c.facts...)
	}
	then, err := facts.Apply(configlog.Config{}, all)
	return then, state, true, err
}
