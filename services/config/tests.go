package config

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// codeTestsFailed is the code of a change that breaks a saved test.
const codeTestsFailed fault.Code = "tests_failed"

// suite is the tests of a site that changes.
type suite struct {
	index   int // of the site in the document
	was, to *configlog.Site
}

// tests gives the saved tests a change must pass: those of every site it changes.
func (d *decision) tests() []suite {
	if d.to == nil || len(d.all) == 0 {
		return nil
	}
	from, to := document.Shown(d.from.Config), document.Shown(*d.to) // an empty list is one, however it came about
	var all []suite
	for i := range to.Sites {
		s := suite{index: i, was: from.Site(to.Sites[i].ID), to: &to.Sites[i]}
		if len(s.to.Tests) > 0 && !reflect.DeepEqual(s.to, s.was) {
			all = append(all, s)
		}
	}
	return all
}

// tested refuses a change that breaks what a saved test proves, unless the admin says ?force=tests: then it is a warning. A
// test that fails in the same way without the change is a warning too.
func (a *api) tested(ctx context.Context, c command, d *decision) error {
	sealed, err := a.sealedApart(d.seals)
	if err != nil {
		return err
	}
	failed := a.failures(ctx, c, d.tests(), sealed)
	if ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, "no longer waited for; nothing was changed", ctx.Err())
	}
	var broken []fault.Problem
	for _, f := range failed {
		problem := fault.Problem{Path: f.path, Message: f.text}
		if f.before || c.forcesTests {
			d.warnings = document.Join(d.warnings, []fault.Problem{problem})
			continue
		}
		broken = append(broken, problem)
	}
	if len(broken) == 0 {
		return nil
	}
	return refuse(http.StatusConflict, fault.New(codeTestsFailed,
		"the change breaks saved tests; nothing was changed: mend it, or publish it all the same with ?force=tests").WithProblems(broken...))
}

// failure is a saved test that fails under a change.
type failure struct {
	path, text string
	before     bool // it fails in the same way without the change
}

// failures runs tests with the change and without, all at once.
func (a *api) failures(ctx context.Context, c command, suites []suite, sealed map[string]map[string][]byte) []failure {
	ctx, cancel := context.WithTimeout(ctx, a.settings.TestsTimeout)
	defer cancel()
	var running sync.WaitGroup
	var all []*failure
	for _, s := range suites {
		a.recordTests(ctx, s.to, c)
		for j := range s.to.Tests {
			test, f := &s.to.Tests[j], &failure{path: fmt.Sprintf("sites[%d].tests[%d]", s.index, j)}
			all = append(all, f)
			running.Go(func() {
				var now, then result
				var both sync.WaitGroup
				both.Go(func() { now = a.run(ctx, s.to, test, sealed[s.to.ID]) })
				if s.was != nil && s.was.Test(test.Name) != nil && *s.was.Test(test.Name) == *test {
					both.Go(func() { then = a.run(ctx, s.was, test, nil) })
				}
				both.Wait()
				f.text, f.before = now.fails(test), now.like(then)
			})
		}
	}
	running.Wait()
	var failed []failure
	for _, f := range all {
		if f.text != "" {
			failed = append(failed, *f)
		}
	}
	return failed
}

// recordTests has the audit trail know whose change has tests tried, and against whom: one that is refused, or only rehearsed,
// leaves no commit.
func (a *api) recordTests(ctx context.Context, s *configlog.Site, c command) {
	var names []string
	for i := range s.Tests {
		names = append(names, s.Tests[i].Name)
	}
	a.recordTrial(ctx, &auditv1.Record{User: c.who.Name, ClientIp: c.who.Address, Site: s.ID, RequestId: c.requestID},
		map[string]any{"tests": names, "draft": true, "dry_run": c.dryRun, "asks": addresses(s)})
}

// result is what became of a test; the zero one was not run.
type result struct {
	reply *gatewayv1.TrialReply
	err   error
}

// run runs a test at a site.
func (a *api) run(ctx context.Context, s *configlog.Site, test *configlog.Test, sealed map[string][]byte) result {
	site, err := json.Marshal(s)
	if err != nil {
		return result{err: err}
	}
	reply, err := a.try(ctx, &gatewayv1.TrialRequest{
		Site: s.ID, Draft: &identityv1.Draft{Site: site, Sealed: sealed, Fetches: fetches(test)}, Credential: &gatewayv1.TrialRequest_Saved{Saved: test.Name},
	})
	return result{reply: reply, err: err}
}

// fetches says what a test has fetched; nil: nothing.
func fetches(test *configlog.Test) *identityv1.Fetches {
	if !test.Fetch {
		return nil
	}
	return &identityv1.Fetches{Provider: test.Provider, ClientId: test.ClientID}
}

// like tells whether another run failed in the same way: nobody was there to try either, or the same row said the same. A run that
// took too long says nothing.
func (r result) like(other result) bool {
	switch {
	case r.err != nil:
		return errors.Is(r.err, nats.ErrNoResponders) && errors.Is(other.err, nats.ErrNoResponders)
	case other.err != nil || other.reply == nil:
		return false
	default:
		return r.reply.GetDecision() == other.reply.GetDecision() && r.reply.GetReason() == other.reply.GetReason() &&
			r.reply.GetObserved() == other.reply.GetObserved() && r.reply.GetRow() == other.reply.GetRow() && r.reply.GetUser() == other.reply.GetUser()
	}
}

// fails says how a test failed; empty: it did not.
func (r result) fails(test *configlog.Test) string {
	switch {
	case r.err != nil:
		return fmt.Sprintf("%q cannot be tried: %s", test.Name, fault.From(r.err).Message)
	case meets(r.reply, test.Expect, test.User):
		return ""
	}
	text := fmt.Sprintf("%q expects %s", test.Name, test.Expect)
	if test.User != "" {
		text += " as " + test.User
	}
	text += fmt.Sprintf(", and it is %s %s in row %s", r.reply.GetDecision(), cmp.Or(r.reply.GetObserved(), r.reply.GetReason()), r.reply.GetRow())
	if r.reply.GetUser() != "" {
		text += " as " + r.reply.GetUser()
	}
	if r.reply.GetDetail() != "" {
		text += ": " + r.reply.GetDetail()
	}
	return text
}
