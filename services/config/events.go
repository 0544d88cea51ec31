package config

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/config/facts"
)

// Bounds of one page.
const (
	defaultPage = 100
	maxPage     = 1000
	maxSequence = 1 << 53 // what every JSON reader holds exactly
	maxPageSize = 4 << 20 // bytes of commits, after the first
)

// event is a commit as config/events shows it.
type event struct {
	Sequence  uint64        `json:"sequence"`
	Hash      string        `json:"hash"`
	At        time.Time     `json:"at"`
	Who       actor         `json:"who"`
	Why       string        `json:"why"`
	RequestID string        `json:"request_id"`
	Facts     []facts.Shown `json:"facts"`
}

// actor is who made a commit.
type actor struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"`
}

func (c commit) who() actor {
	return actor{Name: c.meta.GetWho().GetName(), Role: c.meta.GetWho().GetRole(), Address: c.meta.GetWho().GetAddress()}
}

// getEvents answers commits in order, from ?from on.
func (a *api) getEvents(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "from", "limit")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	from, err := number(values, "from", 1, 0, maxSequence)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	limit, err := number(values, "limit", defaultPage, 1, maxPage)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if _, err := a.loaded(); err != nil {
		a.fail(w, r, err)
		return
	}
	page := struct {
		Events []event `json:"events"`
		Next   uint64  `json:"next,omitempty"` // give it as from; absent: there is no more
	}{Events: []event{}}
	size := 0
	for _, c := range a.history.since(from) {
		size += len(c.Data)
		if uint64(len(page.Events)) == limit || (size > maxPageSize && len(page.Events) > 0) {
			page.Next = c.Seq
			break
		}
		shown, err := facts.Show(c.facts)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		page.Events = append(page.Events, event{
			Sequence: c.Seq, Hash: c.Hash.String(), At: c.meta.GetAt().AsTime(), Who: c.who(), Why: c.meta.GetWhy(),
			RequestID: c.meta.GetRequestId(), Facts: shown,
		})
	}
	a.reply(w, r, http.StatusOK, page)
}

// change is a commit as config/history shows it.
type change struct {
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	Who      string    `json:"who"`
	Why      string    `json:"why"`
	Facts    []string  `json:"facts"` // the types, each once
}

// getHistory answers what was changed, the latest first, before ?before.
func (a *api) getHistory(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "before", "limit")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	before, err := number(values, "before", maxSequence, 0, maxSequence)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	limit, err := number(values, "limit", defaultPage, 1, maxPage)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if _, err := a.loaded(); err != nil {
		a.fail(w, r, err)
		return
	}
	page := struct {
		History []change `json:"history"`
		Next    uint64   `json:"next,omitempty"` // give it as before; absent: there is no more
	}{History: []change{}}
	for _, c := range slices.Backward(a.history.since(1)) {
		if c.Seq >= before {
			continue
		}
		if uint64(len(page.History)) == limit {
			page.Next = c.Seq + 1
			break
		}
		page.History = append(page.History, change{
			Sequence: c.Seq, At: c.meta.GetAt().AsTime(), Who: c.meta.GetWho().GetName(), Why: c.meta.GetWhy(), Facts: facts.Types(c.facts),
		})
	}
	a.reply(w, r, http.StatusOK, page)
}
