package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// State of a node as its /status body says; Unknown and Away are ours.
type State string

// States. Jira answers 200 also while STARTING, STOPPING and on its FIRST_RUN: the body counts, not the code.
const (
	Unknown State = "UNKNOWN" // not asked yet
	Away    State = "AWAY"    // does not answer, or not in this form
	Running State = "RUNNING"
)

// Health is what is known of a node.
type Health struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// Health tells how the node was when it was last asked.
func (n *Node) Health() Health { return *n.health.Load() }

// fit tells whether calls should go to the node: it runs, or nobody has asked it yet.
func (n *Node) fit() bool {
	s := n.health.Load().State
	return s == Running || s == Unknown
}

// Failed notes an error of Do. A node that could not be reached is away, so that the next call goes elsewhere without
// waiting for the next check. One that died over a call may be well, and the call be at fault: it is asked.
func (n *Node) Failed(err error) {
	var gone *UnreachableError
	switch {
	case !errors.As(err, &gone):
	case !gone.Sent:
		n.note(Health{State: Away, Error: err.Error()})
		n.closeIdle(0)
	default:
		select {
		case n.doubts <- struct{}{}:
		default:
		}
	}
}

func (n *Node) note(h Health) {
	h.Since = time.Now()
	switch old := n.health.Load(); {
	case old.State == h.State:
		h.Since = old.Since
	case h.State == Running && old.State != Unknown:
		n.backAt.Store(h.Since.UnixNano())
	}
	n.health.Store(&h)
}

// holdsBack tells whether a node that has come back lets a call go elsewhere: its caches are cold, and the calls that
// waited for it would all come at once. Its share grows from a tenth to all over the settings' SlowStart; a key that has
// come to it stays. score is the key's with this node.
func (n *Node) holdsBack(key string, turn uint32, score uint64) bool {
	back := n.backAt.Load()
	if back == 0 {
		return false
	}
	since := time.Now().UnixNano() - back
	over := n.settings.SlowStart.Nanoseconds()
	if since >= over {
		n.backAt.CompareAndSwap(back, 0)
		return false
	}
	share := max(since*100/over, 10)
	if key == "" {
		return int64(turn*2654435761>>16%100) >= share // turns, well mixed
	}
	return int64(score>>17%100) >= share
}

// watch asks the node for its health until ctx ends.
func (n *Node) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.doubts:
			if time.Since(last) < n.settings.CheckEvery/10 {
				continue
			}
		case <-timer.C:
		}
		h := n.ask(ctx)
		if ctx.Err() == nil {
			n.note(h)
		}
		n.closeIdle(n.settings.IdleTimeout)
		last = time.Now()
		timer.Reset(n.settings.CheckEvery*4/5 + rand.N(n.settings.CheckEvery*2/5)) //nolint:gosec // jitter
	}
}

// ask reads the node's status page.
func (n *Node) ask(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, n.settings.ConnectTimeout)
	defer cancel()
	head := "GET " + n.status + " HTTP/1.1\r\nHost: " + n.address + "\r\nUser-Agent: gatehouse-health\r\nAccept: application/json\r\n"
	resp, err := n.Do(ctx, &Request{Method: http.MethodGet, Repeatable: true, Head: []byte(head)})
	if err != nil {
		return Health{State: Away, Error: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct {
		State State `json:"state"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	if err != nil || status.State == "" {
		return Health{State: Away, Error: "status page is not {\"state\": …}: " + resp.Status}
	}
	return Health{State: status.State}
}
