package config

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// codeTestsFailed is the code of a change that breaks a saved test.
const codeTestsFailed fault.Code = "tests_failed"

// tested refuses a change that breaks what a saved test proves, unless the admin says ?force=tests: then it is a warning. A
// test that fails in the same way without the change is a warning too. Only the sites that change are tested.
func (a *api) tested(ctx context.Context, from *configlog.Config, p *proposal, forced bool) error {
	if p.to == nil {
		return nil
	}
	sealed, err := a.sealedApart(p.seals)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.settings.TestsTimeout)
	defer cancel()
	var broken []fault.Problem
	for _, f := range a.failures(ctx, from, p.to, sealed) {
		problem := fault.Problem{Path: f.path, Message: f.text}
		if f.before || forced {
			p.warnings = document.Join(p.warnings, []fault.Problem{problem})
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
	before     bool // it fails without the change too
}

// failures runs the tests of every site that changes, all at once.
func (a *api) failures(ctx context.Context, from, to *configlog.Config, sealed map[string][]byte) []failure {
	var running sync.WaitGroup
	var all []*failure
	shownFrom, shownTo := document.Shown(*from), document.Shown(*to) // an empty list is one, however it came about
	for i := range shownTo.Sites {
		s := &shownTo.Sites[i]
		was := shownFrom.Site(s.ID)
		if reflect.DeepEqual(s, was) {
			continue
		}
		for j := range s.Tests {
			f := &failure{path: fmt.Sprintf("sites[%d].tests[%d]", i, j)}
			all = append(all, f)
			running.Go(func() {
				if f.text = a.fails(ctx, s, &s.Tests[j], sealed); f.text != "" && was != nil {
					if same := was.Test(s.Tests[j].Name); same != nil && *same == s.Tests[j] {
						f.before = a.fails(ctx, was, same, nil) != ""
					}
				}
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

// fails runs a test and says how it fails; empty: it does not.
func (a *api) fails(ctx context.Context, s *configlog.Site, test *configlog.Test, sealed map[string][]byte) string {
	site, err := json.Marshal(s)
	if err != nil {
		return "cannot be tried"
	}
	reply, err := a.try(ctx, &gatewayv1.TrialRequest{
		Site: s.ID, Draft: &identityv1.Draft{Site: site, Sealed: sealed}, Credential: &gatewayv1.TrialRequest_Saved{Saved: test.Name},
	})
	switch {
	case err != nil:
		return fmt.Sprintf("%q cannot be tried: %s", test.Name, fault.From(err).Message)
	case meets(reply, test.Expect, test.User):
		return ""
	}
	text := fmt.Sprintf("%q expects %s", test.Name, test.Expect)
	if test.User != "" {
		text += " as " + test.User
	}
	text += fmt.Sprintf(", and it is %s %s in row %s", reply.GetDecision(), cmp.Or(reply.GetObserved(), reply.GetReason()), reply.GetRow())
	if reply.GetUser() != "" {
		text += " as " + reply.GetUser()
	}
	if reply.GetDetail() != "" {
		text += ": " + reply.GetDetail()
	}
	return text
}
