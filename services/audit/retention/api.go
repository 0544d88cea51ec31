package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
)

const (
	// answerWithin is how long a run that was asked for is waited for before it is answered that it goes on.
	answerWithin = 20 * time.Second
	// maxBody is enough for a hold with the longest reason.
	maxBody = 64 << 10
	// maxWords bounds what a hold names, and why.
	maxWords, maxReason = 256, 1000
)

// Routes puts retention and holds under /api/v1/audit.
func (k *Keeper) Routes(r chi.Router, readers, admins func(http.Handler) http.Handler) {
	r.With(readers).Get("/retention", k.answer(k.show))
	r.With(admins).Post("/retention/run", k.answer(k.ask))
	r.With(readers).Get("/holds", k.answer(k.list))
	r.With(admins).Post("/holds", k.answer(k.set))
	r.With(admins).Delete("/holds/{id}", k.answer(k.lift))
}

// answer answers with what do gives.
func (k *Keeper) answer(do func(*http.Request) (status int, body any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		status, body, err := do(r)
		if err == nil {
			web.JSON(w, status, body)
			return
		}
		err = unavailable(err)
		switch fault.CodeOf(err) { //nolint:exhaustive // the others are the caller's
		case fault.Internal:
			k.Log.LogAttrs(r.Context(), slog.LevelError, "audit retention: a request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
		case fault.Unavailable, fault.Conflict, fault.Limited:
			w.Header().Set("Retry-After", "1")
		}
		web.Fault(w, 0, err)
	}
}

// shown is what GET retention answers.
type shown struct {
	Policy  shownPolicy `json:"policy"`
	Next    *time.Time  `json:"next,omitempty"` // absent: none is to come
	Trouble string      `json:"trouble,omitempty"`
	Records int64       `json:"records"` // in the trail
	Oldest  *time.Time  `json:"oldest,omitempty"`
	Holds   int         `json:"holds"` // that stand
	Runs    []Outcome   `json:"runs"`  // the latest, newest first
}

type shownPolicy struct {
	Limits
	Every configlog.Duration `json:"every"`
}

func (k *Keeper) show(r *http.Request) (int, any, error) {
	policy, err := k.Policy()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), k.Attempt)
	defer cancel()
	view := k.View()
	s := shown{Policy: shownPolicy{limits(policy), policy.Every}, Next: view.Next, Trouble: view.Trouble}
	err = k.Pool.QueryRow(ctx, `SELECT coalesce(sum(rows), 0), min(min_time) FILTER (WHERE rows > 0),
		(SELECT count(*) FROM audit.hold WHERE lifted_at IS NULL) FROM audit.part WHERE state <> 'gone'`).Scan(&s.Records, &s.Oldest, &s.Holds)
	if err != nil {
		return 0, nil, err
	}
	if s.Oldest != nil {
		*s.Oldest = s.Oldest.UTC()
	}
	rows, err := k.Pool.Query(ctx, selectRuns+` ORDER BY id DESC LIMIT 50`)
	if err != nil {
		return 0, nil, err
	}
	s.Runs, err = pgx.CollectRows(rows, scanOutcome)
	return http.StatusOK, s, err
}

// ask makes a run now, or says what one would do. With dry_run, max_days and max_entries stand for the configuration's.
// All of them are parameters, or fields of a JSON body.
func (k *Keeper) ask(r *http.Request) (int, any, error) {
	policy, err := k.Policy()
	if err != nil {
		return 0, nil, err
	}
	dry, err := readOrder(r, &policy)
	if err != nil {
		return 0, nil, err
	}
	who := adminauth.From(r.Context())
	if dry {
		select {
		case k.dry <- struct{}{}:
		default: // each has a connection, and runs need theirs
			return 0, nil, fault.New(fault.Limited, "another dry run is under way")
		}
		defer func() { <-k.dry }()
		out, err := k.rehearse(r.Context(), who.Name, policy)
		return http.StatusOK, out, err
	}
	out, err := k.order(r.Context(), order{by: who.Name, requestID: requestID(r), address: who.Address, policy: policy})
	if err == nil && out.Ended == nil {
		return http.StatusAccepted, out, nil
	}
	return http.StatusOK, out, err
}

// readOrder reads how a run is to be.
func readOrder(r *http.Request, policy *configlog.Retention) (dry bool, err error) {
	given, problems, err := wishes(r)
	if err != nil {
		return false, err
	}
	number := func(name string, most uint64, set func(uint64)) {
		if !given.Has(name) {
			return
		}
		n, err := strconv.ParseUint(given.Get(name), 10, 64)
		switch {
		case err != nil || n > most:
			problems = append(problems, fault.Problem{Path: name, Message: fmt.Sprintf("is to be a number from 0 to %d", most)})
		case !dry:
			problems = append(problems, fault.Problem{Path: name, Message: "goes with dry_run=true only: a run goes by the configuration"})
		default:
			set(n)
		}
	}
	if given.Has("dry_run") {
		if dry, err = strconv.ParseBool(given.Get("dry_run")); err != nil {
			problems = append(problems, fault.Problem{Path: "dry_run", Message: "is to be true or false"})
		}
	}
	number("max_days", 36_500, func(n uint64) { policy.MaxDays = uint32(n) }) //nolint:gosec // checked
	number("max_entries", 1<<62, func(n uint64) { policy.MaxEntries = n })
	for name := range given {
		if name != "dry_run" && name != "max_days" && name != "max_entries" {
			problems = append(problems, fault.Problem{Path: name, Message: "is no parameter of this"})
		}
	}
	if len(problems) > 0 {
		return false, fault.New(fault.Invalid, "the run is not as it can be").WithProblems(problems...)
	}
	return dry, nil
}

// wishes gives the parameters of a run, also those that came in the body: one that was not read would make a run of
// what was to be a dry one. What is said twice is a problem.
func wishes(r *http.Request) (given url.Values, problems []fault.Problem, err error) {
	given = r.URL.Query()
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(text) > maxBody {
		return nil, nil, fault.New(fault.Invalid, "the body cannot be read, or is too long")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return given, nil, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return nil, nil, fault.New(fault.Invalid, `the body is to be empty, or JSON such as {"dry_run":true}`)
	}
	for name, value := range fields {
		if given.Has(name) {
			problems = append(problems, fault.Problem{Path: name, Message: "is a parameter and in the body: say it once"})
			continue
		}
		given.Set(name, string(value))
	}
	return given, problems, nil
}

// order has the Keeper make a run, and waits for a while until it has ended.
func (k *Keeper) order(ctx context.Context, o order) (Outcome, error) {
	waiting, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	done := make(chan answer, 1)
	select {
	case k.orders <- asked{o, done}:
	case <-waiting.Done():
		return Outcome{}, errBusy
	}
	select {
	case a := <-done:
		return a.Outcome, a.err
	case <-waiting.Done(): // it goes on
		return lastRun(ctx, k.Pool)
	}
}

func (k *Keeper) list(r *http.Request) (int, any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), k.Attempt)
	defer cancel()
	sql := selectHolds + ` WHERE lifted_at IS NULL`
	switch all := r.URL.Query().Get("all"); all {
	case "", "false":
	case "true":
		sql = selectHolds
	default:
		return 0, nil, fault.New(fault.Invalid, "the list is not as it can be").WithProblems(fault.Problem{Path: "all", Message: "is to be true or false"})
	}
	rows, err := k.Pool.Query(ctx, sql+` ORDER BY id`)
	if err != nil {
		return 0, nil, err
	}
	holds, err := pgx.CollectRows(rows, scanHold)
	return http.StatusOK, map[string]any{"holds": holds}, err
}

// set sets a hold. Nothing is removed meanwhile: what is there when it is answered stays, if it matches.
func (k *Keeper) set(r *http.Request) (int, any, error) {
	h, err := readHold(r)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), k.Attempt)
	defer cancel()
	who := adminauth.From(r.Context())
	var set Hold
	err = k.holding(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO audit.hold (from_time, to_time, username, client_id, site, reason, set_by)
			VALUES ($1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6, $7) RETURNING `+holdColumns,
			h.From, h.To, h.User, h.ClientID, h.Site, h.Reason, who.Name)
		if err != nil {
			return err
		}
		if set, err = pgx.CollectExactlyOneRow(rows, scanHold); err != nil {
			return err
		}
		return remember(ctx, tx, r, audittrail.HoldSet, set)
	})
	return http.StatusCreated, set, err
}

// lift lifts a hold: what it alone has kept may go with the next run.
func (k *Keeper) lift(r *http.Request) (int, any, error) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		return 0, nil, fault.New(fault.NotFound, "there is no such hold")
	}
	ctx, cancel := context.WithTimeout(r.Context(), k.Attempt)
	defer cancel()
	var lifted Hold
	err = k.holding(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE audit.hold SET lifted_by = $2, lifted_at = clock_timestamp()
			WHERE id = $1 AND lifted_at IS NULL RETURNING `+holdColumns, id, adminauth.From(r.Context()).Name)
		if err != nil {
			return err
		}
		if lifted, err = pgx.CollectExactlyOneRow(rows, scanHold); err != nil {
			return err
		}
		return remember(ctx, tx, r, audittrail.HoldLifted, lifted)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, fault.New(fault.NotFound, "there is no such hold, or it is lifted already")
	}
	return http.StatusOK, lifted, err
}

// holding changes holds while nobody removes anything.
func (k *Keeper) holding(ctx context.Context, do func(pgx.Tx) error) error {
	defer k.wake()
	return pgx.BeginFunc(ctx, k.Pool, func(tx pgx.Tx) error {
		if err := durable(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(holdKey)); err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		var standing int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM audit.hold WHERE lifted_at IS NULL`).Scan(&standing); err != nil {
			return err
		}
		k.meters.holds.Set(float64(standing))
		return nil
	})
}

// remember has the trail told of what an admin did.
func remember(ctx context.Context, tx pgx.Tx, r *http.Request, kind string, what any) error {
	change, err := json.Marshal(what)
	if err != nil {
		return err
	}
	who := adminauth.From(r.Context())
	_, err = tx.Exec(ctx, `INSERT INTO audit.unrecorded (kind, username, request_id, client_ip, change) VALUES ($1, $2, $3, $4, $5)`,
		kind, who.Name, requestID(r), who.Address, change)
	return err
}

// readHold reads the hold that is asked for.
func readHold(r *http.Request) (h Hold, err error) {
	var given struct {
		From     string `json:"from"`
		To       string `json:"to"`
		User     string `json:"user"`
		ClientID string `json:"client_id"`
		Site     string `json:"site"`
		Reason   string `json:"reason"`
	}
	read := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	read.DisallowUnknownFields()
	if err := read.Decode(&given); err != nil {
		return h, fault.Wrap(fault.Invalid, "the hold cannot be read: "+err.Error(), err)
	}
	if _, err := read.Token(); !errors.Is(err, io.EOF) {
		return h, fault.New(fault.Invalid, "one hold at a time: something follows it")
	}
	var problems []fault.Problem
	for _, text := range []struct {
		path, value string
		most        int
	}{{"user", given.User, maxWords}, {"client_id", given.ClientID, maxWords}, {"site", given.Site, maxWords}, {"reason", given.Reason, maxReason}} {
		if clean, same := audittrail.Text(text.value, text.most); !same || clean != text.value {
			problems = append(problems, fault.Problem{Path: text.path, Message: fmt.Sprintf("is to be text of up to %d bytes", text.most)})
		}
	}
	if given.Reason == "" {
		problems = append(problems, fault.Problem{Path: "reason", Message: "is missing: whoever may lift it later wants to know why it is there"})
	}
	moment := func(path, value string) *time.Time {
		if value == "" {
			return nil
		}
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil || at.Year() < 1970 || at.Year() > 9999 {
			problems = append(problems, fault.Problem{Path: path, Message: "is to be a time such as 2026-01-02T15:04:05Z"})
			return nil
		}
		at = at.UTC().Truncate(time.Microsecond) // as Postgres keeps it
		return &at
	}
	h = Hold{From: moment("from", given.From), To: moment("to", given.To), User: given.User, ClientID: given.ClientID, Site: given.Site, Reason: given.Reason}
	if h.From != nil && h.To != nil && !h.From.Before(*h.To) {
		problems = append(problems, fault.Problem{Path: "to", Message: "is to be later than from"})
	}
	if len(problems) > 0 {
		return Hold{}, fault.New(fault.Invalid, "the hold is not as it can be").WithProblems(problems...)
	}
	return h, nil
}

// requestID gives the id that whoever handed a request on has given it; there may be none.
func requestID(r *http.Request) string { return r.Header.Get("X-Request-Id") }
