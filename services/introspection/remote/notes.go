package remote

import (
	"sync"
	"time"
)

// Notes decide when a provider's trouble is worth a line in the log: when it begins, when it changes, and once
// a minute while it lasts; never more than one a second, however the callers alternate.
type Notes struct {
	mu   sync.Mutex
	last Result
	at   time.Time
}

const (
	noteAgain  = time.Minute
	noteAtMost = time.Second
)

// Worth tells whether r is to be logged now, and whether it ends a trouble.
func (n *Notes) Worth(r Result, now time.Time) (worth, healed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Good() {
		healed = n.last != "" && now.Sub(n.at) >= noteAtMost
		if healed {
			n.last, n.at = "", now
		}
		return healed, healed
	}
	since := now.Sub(n.at)
	if !n.at.IsZero() && (since < noteAtMost || r == n.last && since < noteAgain) {
		return false, false
	}
	n.last, n.at = r, now
	return true, false
}
