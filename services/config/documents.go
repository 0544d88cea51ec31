package config

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// headerVersion carries the sequence an answer is about.
const headerVersion = "X-Gatehouse-Config-Version"

// getConfig answers the document, now or as of ?at=SEQ.
func (a *api) getConfig(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "at")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	s, err := a.loaded()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	shown, state := s.Config, s.State
	if values.Has("at") {
		if shown, state, err = a.then(s, values.Get("at")); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	tag := etag(state)
	w.Header().Set("ETag", tag)
	w.Header().Set(headerVersion, strconv.FormatUint(state.Seq, 10))
	if unchanged(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	a.reply(w, r, http.StatusOK, visible(shown))
}

// visible gives the document as it is shown. Retention is the one thing a configuration nobody has ever
// changed says nothing of; what is shown then is what the first change will state.
func visible(c configlog.Config) configlog.Config {
	if c.Audit.Retention == (configlog.Retention{}) {
		c.Audit = document.Default().Audit
	}
	return document.Shown(c)
}

// then gives the configuration as of a sequence.
func (a *api) then(now *configlog.Snapshot, text string) (configlog.Config, eventlog.State, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return configlog.Config{}, eventlog.State{}, fault.New(fault.Invalid, "at must be a sequence")
	}
	if seq > now.State.Seq {
		return configlog.Config{}, eventlog.State{}, fault.Newf(fault.NotFound, "there is no version %d: the latest is %d", seq, now.State.Seq)
	}
	then, state, found, err := a.history.config(seq)
	if err == nil && !found {
		err = fault.Newf(fault.NotFound, "there is no version %d", seq)
	}
	return then, state, err
}

// putConfig makes the document in the body the current one.
func (a *api) putConfig(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "dry_run", "wait", "why", "force", "confirm")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wanted, err := a.wished(r, values)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	data, syntax, err := body(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	draft, unread := document.Read(data, syntax) // before the turn: a large one takes its time
	wanted.propose = func(ctx context.Context, s *configlog.Snapshot) (*proposal, error) {
		if draft == nil { // settled by an earlier try, or malformed
			draft, unread = document.Read(data, syntax)
		}
		given := draft
		draft = nil
		p, err := a.proposed(ctx, s, given, unread)
		if err == nil {
			err = wanted.switches(&s.Config, p.to)
		}
		return p, err
	}
	a.carryOut(w, r, wanted)
}

// proposed decides whether a document may follow what there is. draft is nil when it was malformed.
func (a *api) proposed(ctx context.Context, s *configlog.Snapshot, draft *document.Draft, unread []fault.Problem) (*proposal, error) {
	const refused = "the document cannot work; nothing was changed"
	if draft == nil {
		return nil, unfit(refused, unread)
	}
	seals, unsettled, err := a.settle(ctx, &s.Config, draft)
	if err != nil {
		return nil, err
	}
	wrong, warnings := document.Check(&draft.Config)
	unopened, lost := a.unopened(&draft.Config)
	if all := document.Join(unread, unsettled, wrong, unopened); len(all) > 0 {
		return nil, unfit(refused, all)
	}
	warnings = document.Join(draft.Warnings, warnings, document.Compare(&s.Config, &draft.Config), lost)
	return &proposal{to: &draft.Config, seals: seals, warnings: warnings}, nil
}

// rollback makes the document of then the current one, in one new commit. What was sealed then still is.
func (a *api) rollback(w http.ResponseWriter, r *http.Request) {
	values, err := query(r, "dry_run", "wait", "why", "force", "confirm")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wanted, err := a.wished(r, values)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	data, syntax, err := body(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	var asked struct {
		To  *uint64 `json:"to"`
		Why string  `json:"why"`
	}
	if problems := document.ReadInto(data, syntax, &asked); len(problems) > 0 {
		a.fail(w, r, unfit("the request cannot be read", problems))
		return
	}
	if asked.To == nil {
		a.fail(w, r, unfit("the request cannot be read", []fault.Problem{{Path: "to", Message: "is required: the version to go back to"}}))
		return
	}
	if wanted.why, err = reason(asked.Why, wanted.why); err != nil {
		a.fail(w, r, err)
		return
	}
	wanted.propose = func(ctx context.Context, s *configlog.Snapshot) (*proposal, error) {
		p, err := a.earlier(s, *asked.To)
		if err == nil {
			err = wanted.switches(&s.Config, p.to)
		}
		return p, err
	}
	a.carryOut(w, r, wanted)
}

// earlier decides whether the document of then may be the current one again: it must pass today's rules.
func (a *api) earlier(s *configlog.Snapshot, to uint64) (*proposal, error) {
	then, _, err := a.then(s, strconv.FormatUint(to, 10))
	if err != nil {
		return nil, err
	}
	then = visible(then)
	problems, warnings := document.Check(&then)
	if len(problems) > 0 {
		return nil, unfit("the document of then does not pass the rules of today; nothing was changed", problems)
	}
	unopened, lost := a.unopened(&then)
	return &proposal{to: &then, warnings: document.Join(warnings, document.Compare(&s.Config, &then), unopened, lost)}, nil
}
