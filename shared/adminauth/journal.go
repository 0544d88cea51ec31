package adminauth

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Reasons of records of admins.
const (
	reasonSignedIn  = "signed_in"
	reasonNoToken   = "no_token"
	reasonBadToken  = "bad_token"
	reasonWrongRole = "wrong_role"
	reasonLockedOut = "locked_out"
)

// JournalOptions of a Journal. Zero means the default.
type JournalOptions struct {
	// Every is after how long the use of the same token from the same address is a sign-in again; default 15 min, and
	// sign-ins are not recorded when it is negative.
	Every time.Duration
	// Window is how long refusals alike are counted before they are recorded as one; default 5 min.
	Window time.Duration
	// Wait is how long a sign-in waits to be in the trail before it goes on without; default 500 ms.
	Wait time.Duration
	// RequestID gives the id of a request; nil: none is recorded.
	RequestID func(*http.Request) string
}

// Journal has the audit trail know which admins came and who was refused. It never refuses anybody itself. Guessing
// cannot fill the trail: the first refusal is recorded at once, those alike that follow are summed up, and there are at
// most maxRefusals kinds of them at a time.
type Journal struct {
	log   *slog.Logger
	trail *audittrail.Recorder
	opts  JournalOptions

	mu       sync.Mutex
	signedIn map[signIn]time.Time
	refused  map[refusal]*burst
}

const (
	maxSignIns  = 4096
	maxRefusals = 100
)

type signIn struct {
	token   Digest
	address string
}

// refusal is what is alike.
type refusal struct{ reason, user, network string }

// burst is refusals that were not recorded yet, beside the first.
type burst struct {
	last  *auditv1.Record
	count int
	since time.Time
}

// NewJournal gives a journal that writes to trail; Run makes it write what it sums up.
func NewJournal(log *slog.Logger, trail *audittrail.Recorder, opts JournalOptions) *Journal {
	opts.Every = cmp.Or(opts.Every, 15*time.Minute)
	opts.Window = cmp.Or(opts.Window, 5*time.Minute)
	opts.Wait = cmp.Or(opts.Wait, 500*time.Millisecond)
	return &Journal{log: log, trail: trail, opts: opts, signedIn: map[signIn]time.Time{}, refused: map[refusal]*burst{}}
}

// Run records what was summed up, now and then and when ctx ends.
func (j *Journal) Run(ctx context.Context) {
	often := time.NewTicker(j.opts.Window)
	defer often.Stop()
	for {
		select {
		case <-often.C:
			j.sumUp(ctx)
		case <-ctx.Done():
			j.sumUp(ctx)
			return
		}
	}
}

// came records that an admin was let in, once in a while. It waits for the trail a moment, so that what is answered
// was recorded; a trail that is away refuses nobody, and gets the record later.
func (j *Journal) came(r *http.Request, who Admin) {
	if j == nil || j.opts.Every < 0 || !j.isNew(signIn{Hash(bearer(r)), who.Address}, time.Now()) {
		return
	}
	record := j.recordOf(r, who, audittrail.AdminSignedIn, reasonSignedIn)
	record.Decision, record.Change = "allow", roleOf(who)
	ctx, cancel := context.WithTimeout(r.Context(), j.opts.Wait)
	defer cancel()
	if err := j.trail.Record(ctx, record); err != nil {
		if ctx.Err() == nil { // it never will be
			j.mu.Lock()
			delete(j.signedIn, signIn{Hash(bearer(r)), who.Address})
			j.mu.Unlock()
		}
		j.log.LogAttrs(r.Context(), slog.LevelWarn, "an admin's sign-in is not recorded yet", slog.String("admin", who.Name),
			slog.String("address", who.Address), slog.Any("error", err))
	}
}

// isNew tells whether a sign-in is one, and notes it.
func (j *Journal) isNew(s signIn, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if last, ok := j.signedIn[s]; ok && now.Sub(last) < j.opts.Every {
		return false
	}
	if len(j.signedIn) >= maxSignIns {
		for other, last := range j.signedIn {
			if now.Sub(last) >= j.opts.Every || len(j.signedIn) >= maxSignIns {
				delete(j.signedIn, other)
			}
		}
	}
	j.signedIn[s] = now
	return true
}

// turnedAway records that somebody was refused, or counts it. It never waits.
func (j *Journal) turnedAway(r *http.Request, who Admin, err error) {
	reason := reasonOf(r, err)
	if j == nil || reason == "" {
		return
	}
	record := j.recordOf(r, who, audittrail.AdminRefused, reason)
	record.Decision, record.Status = "deny", uint32(fault.CodeOf(err).HTTPStatus()) //nolint:gosec // three digits
	if who.Role != "" {
		record.Change = roleOf(who)
	}
	if j.isFirst(refusal{reason, who.Name, network(who.Address)}, record) {
		j.post(r.Context(), record)
	}
}

// reasonOf gives why somebody was refused; none: it was not for who they are.
func reasonOf(r *http.Request, err error) string {
	switch fault.CodeOf(err) {
	case fault.Unauthenticated:
		if bearer(r) == "" {
			return reasonNoToken
		}
		return reasonBadToken
	case fault.Forbidden:
		return reasonWrongRole
	case fault.Limited:
		return reasonLockedOut
	default:
		return ""
	}
}

// isFirst tells whether a refusal is to be recorded now; the others are counted. When there are too many unlike each
// other, they count as alike that have the same reason.
func (j *Journal) isFirst(of refusal, record *auditv1.Record) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.refused[of]
	if b == nil && len(j.refused) >= maxRefusals {
		of = refusal{reason: of.reason}
		b = j.refused[of]
	}
	if b == nil {
		j.refused[of] = &burst{}
		return true
	}
	if b.count == 0 {
		b.since = time.Now()
	}
	b.last = record
	b.count++
	return false
}

// sumUp records what was counted, and forgets what did not go on.
func (j *Journal) sumUp(ctx context.Context) {
	for _, record := range j.summaries() {
		j.post(ctx, record)
	}
}

func (j *Journal) summaries() (all []*auditv1.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for of, b := range j.refused {
		if b.count == 0 {
			delete(j.refused, of)
			continue
		}
		if of.network == "" { // of many
			b.last.ClientIp, b.last.ClientIpSource, b.last.User, b.last.UserAgent, b.last.Detail = "", "", "", "", ""
		}
		until := time.Unix(0, int64(b.last.GetTime())).UTC() //nolint:gosec // set by recordOf
		b.last.Change = jsonOf(struct {
			Count int       `json:"count"`
			Since time.Time `json:"since"`
			Until time.Time `json:"until"`
		}{b.count, b.since.UTC(), until})
		all = append(all, b.last)
		*b = burst{}
	}
	return all
}

func (j *Journal) post(ctx context.Context, record *auditv1.Record) {
	if err := j.trail.Post(record); err != nil {
		j.log.LogAttrs(ctx, slog.LevelWarn, "a refused admin is not recorded", slog.String("reason", record.GetReason()),
			slog.String("address", record.GetClientIp()), slog.Any("error", err))
	}
}

// recordOf gives what every record of an admin has.
func (j *Journal) recordOf(r *http.Request, who Admin, kind, reason string) *auditv1.Record {
	record := &auditv1.Record{
		Kind: kind, Reason: reason, Time: uint64(time.Now().UnixNano()), Outcome: "completed", Credential: "admin_token",
		User: who.Name, Method: r.Method, Path: r.URL.Path, ClientIp: who.Address, ClientIpSource: "peer", UserAgent: r.UserAgent(),
	}
	if j.opts.RequestID != nil {
		record.RequestId = j.opts.RequestID(r)
	}
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" {
		record.Detail = "X-Forwarded-For: " + forwarded
	}
	return record
}

func roleOf(who Admin) string {
	return jsonOf(struct {
		Role string `json:"role"`
	}{who.Role})
}

func jsonOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil { // of types that always have a JSON
		return ""
	}
	return string(text)
}
