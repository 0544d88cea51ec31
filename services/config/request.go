package config

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"

	"github.com/gatehouse-suite/gatehouse/services/config/facts"
	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// HeaderWhy may carry why a change is made.
const HeaderWhy = "X-Gatehouse-Why"

// Bounds of what a request may ask for.
const (
	maxWhy  = 1000 // characters
	maxWait = time.Minute
)

// wish is what every change may be asked with, beside what it is.
type wish struct {
	command
	wait time.Duration // for the gateways; 0: not at all
	// confirmsGrant: the grant of a site may be switched.
	confirmsGrant bool
}

// wished reads who wants a change, why, on what condition and how.
func (a *api) wished(r *http.Request, values url.Values) (wish, error) {
	match, err := ifMatch(r)
	if err != nil {
		return wish{}, err
	}
	why, err := reason(values.Get("why"), r.Header.Get(HeaderWhy))
	if err != nil {
		return wish{}, err
	}
	w := wish{command: command{who: adminauth.From(r.Context()), why: why, requestID: requestID(r), condition: match}}
	if values.Has("dry_run") {
		if w.dryRun, err = strconv.ParseBool(values.Get("dry_run")); err != nil {
			return wish{}, fault.New(fault.Invalid, "dry_run must be true or false")
		}
	}
	if values.Has("force") {
		for what := range strings.SplitSeq(values.Get("force"), ",") {
			switch what {
			case "fork":
				w.force = true
			case "tests":
				w.forcesTests = true
			default:
				return wish{}, fault.New(fault.Invalid, "force must be fork (the change is made though a gateway has another history), tests (though a saved test fails), or both with a comma between them")
			}
		}
	}
	if confirm := values.Get("confirm"); values.Has("confirm") && confirm != "grant" {
		return wish{}, fault.New(fault.Invalid, "confirm must be grant: the grant of a site is switched")
	}
	w.confirmsGrant = values.Has("confirm")
	w.wait, err = a.waiting(values)
	return w, err
}

// waiting reads wait=applied, or wait=10s.
func (a *api) waiting(values url.Values) (time.Duration, error) {
	switch text := values.Get("wait"); {
	case !values.Has("wait"):
		return 0, nil
	case text == "applied":
		return a.settings.WaitApplied, nil
	default:
		d, err := configlog.ParseDuration(text)
		if err != nil || d <= 0 || d.Std() > maxWait {
			return 0, fault.Newf(fault.Invalid, "wait must be applied, or a length of time up to %s", configlog.Duration(maxWait))
		}
		return d.Std(), nil
	}
}

// reason gives the first that is given of several reasons.
func reason(given ...string) (string, error) {
	for _, why := range given {
		if why == "" {
			continue
		}
		if !utf8.ValidString(why) || utf8.RuneCountInString(why) > maxWhy || !isLine(why) {
			return "", fault.Newf(fault.Invalid, "why must be one line of up to %d characters in UTF-8", maxWhy)
		}
		return why, nil
	}
	return "", nil
}

func isLine(s string) bool {
	for _, c := range s {
		if !unicode.IsPrint(c) && c != ' ' {
			return false
		}
	}
	return true
}

// answer is the body that answers a change.
type answer struct {
	Version  uint64          `json:"version"`
	ETag     string          `json:"etag"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Warnings []fault.Problem `json:"warnings"`
	// Pending names the gateways on the list, live or silent, that do not decide under this version yet.
	Pending []string      `json:"pending"`
	Changes []facts.Shown `json:"changes"`
}

// carryOut makes a change that was wished for and answers.
func (a *api) carryOut(w http.ResponseWriter, r *http.Request, wanted wish) {
	out, err := a.change(r.Context(), wanted.command)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	shown, err := facts.Show(out.facts)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body := answer{
		Version: out.state.Seq, ETag: etag(out.state), DryRun: wanted.dryRun,
		Warnings: append([]fault.Problem{}, out.warnings...), Pending: []string{}, Changes: shown,
	}
	if !wanted.dryRun {
		var known bool
		if body.Pending, known = a.pending(r.Context(), gateways.Config, out.state, wanted.wait); !known {
			body.Warnings = append(body.Warnings, fault.Problem{Message: "the list of gateways could not be read yet: pending may lack some"})
		}
	}
	w.Header().Set("ETag", body.ETag)
	w.Header().Set(headerVersion, strconv.FormatUint(body.Version, 10))
	a.reply(w, r, http.StatusOK, body)
}

// pending waits until the gateways have a state of a log, and names those that are behind; known tells whether the list is complete.
func (a *api) pending(ctx context.Context, of gateways.Log, at eventlog.State, wait time.Duration) (ids []string, known bool) {
	if wait > 0 {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		stop := context.AfterFunc(a.ending, cancel) // a service that ends does not keep its clients
		defer stop()
		a.gateways.Wait(ctx, of, at)
	}
	return a.gateways.Pending(of, at), a.gateways.Loaded()
}
