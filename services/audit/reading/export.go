package reading

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/retry"
)

const (
	exportPage = 1000            // records read at once, in a transaction of their own
	exportNote = 5 * time.Second // for the trail to be told
)

// Trailers of an export. One that was cut off has none.
const (
	trailerComplete = "Gatehouse-Export-Complete"
	trailerRecords  = "Gatehouse-Export-Records"
)

// encoder writes events in a format. An error is the client's, who is gone.
type encoder interface {
	write(e *Event) error
	flush() error
}

// export streams what a search finds, oldest first unless asked otherwise, up to the last record there is when it begins.
func (a *Reader) export(w http.ResponseWriter, r *http.Request) {
	err := a.enter(r.Context(), a.exports)
	if err == nil {
		defer func() { <-a.exports }()
		err = a.stream(w, r)
	}
	a.meters.searches.WithLabelValues("export", string(fault.CodeOf(err))).Inc()
	if err != nil {
		a.fail(w, r, err)
	}
}

// stream answers an export. An error means that nothing was answered yet; what goes wrong later cuts the answer off.
func (a *Reader) stream(w http.ResponseWriter, r *http.Request) error {
	q, format, err := parseExport(r)
	if err != nil {
		return err
	}
	first, err := a.archive.walk(r.Context(), q)
	if err != nil {
		return err
	}
	if err := a.note(r, format); err != nil {
		return err
	}
	out := io.Writer(w)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", trailerComplete+", "+trailerRecords)
	h.Set("Content-Disposition", `attachment; filename="audit.`+format+`"`)
	h.Set("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		out = gzip.NewWriter(w)
	}
	var to encoder = &ndjson{json.NewEncoder(out)}
	h.Set("Content-Type", "application/x-ndjson")
	if format == "csv" {
		h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
		to = newSheet(out)
	}
	n, err := a.pour(r.Context(), w, out, to, q, first)
	if zip, ok := out.(*gzip.Writer); ok && err == nil {
		err = zip.Close()
	}
	if err != nil {
		a.meters.searches.WithLabelValues("export", "cut").Inc()
		a.Log.LogAttrs(r.Context(), slog.LevelWarn, "export cut off", slog.Int64("records", n), slog.Any("error", err))
		panic(http.ErrAbortHandler) // net/http's way to cut a reply short, so that nobody takes it for whole
	}
	h.Set(trailerComplete, "true")
	h.Set(trailerRecords, strconv.FormatInt(n, 10))
	return nil
}

// pour writes page after page.
func (a *Reader) pour(ctx context.Context, w http.ResponseWriter, out io.Writer, to encoder, q query, page walked) (n int64, err error) {
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	q.upTo = page.lastID
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(a.Patience))
		for i := range page.events {
			if err := to.write(&page.events[i]); err != nil {
				return n, err
			}
			n++
		}
		if err := to.flush(); err != nil {
			return n, err
		}
		if zip, ok := out.(*gzip.Writer); ok {
			if err := zip.Flush(); err != nil {
				return n, err
			}
		}
		if err := rc.Flush(); err != nil {
			return n, err
		}
		a.meters.exported.Add(float64(len(page.events)))
		if !page.more {
			return n, nil
		}
		q.after = page.reached
		if page, err = a.patiently(ctx, q); err != nil {
			return n, err
		}
	}
}

// patiently reads a page, and waits for a database that is away.
func (a *Reader) patiently(ctx context.Context, q query) (walked, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	pause := retry.Pause{Longest: 2 * time.Second}
	for {
		page, err := a.archive.walk(ctx, q)
		if err == nil || fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil {
			return page, err
		}
		pause.Wait(ctx)
	}
}

// takesGzip tells whether a client lets an answer be compressed (RFC 9110 section 12.5.3): it names gzip, or else *, and
// does not weigh that with 0.
func takesGzip(accepts string) bool {
	other := false
	for coding := range strings.SplitSeq(accepts, ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "*" {
			continue
		}
		q := 1.0
		if weighed {
			_, number, _ := strings.Cut(weight, "=")
			q, _ = strconv.ParseFloat(strings.TrimSpace(number), 64) // what is no number is 0: send it plain
		}
		if name == "gzip" {
			return q > 0
		}
		other = q > 0
	}
	return other
}

// note has the export in the trail before anything of it leaves.
func (a *Reader) note(r *http.Request, format string) error {
	change, err := json.Marshal(map[string]any{"format": format, "filters": r.URL.Query()})
	if err != nil {
		return fmt.Errorf("record the export: %w", err)
	}
	who, detail := adminauth.From(r.Context()), ""
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" {
		detail = "X-Forwarded-For: " + forwarded // what the admin port says; a peer may say anything
	}
	ctx, cancel := context.WithTimeout(r.Context(), exportNote)
	defer cancel()
	return a.Trail.Record(ctx, &auditv1.Record{
		Kind: audittrail.AuditExported, User: who.Name, ClientIp: who.Address, ClientIpSource: "peer", RequestId: r.Header.Get("X-Request-Id"),
		Method: r.Method, Path: r.URL.Path, UserAgent: r.UserAgent(), Credential: "admin_token", Decision: "allow", Outcome: "completed", Detail: detail, Change: string(change),
	})
}

// parseExport reads the parameters of an export: those of a search but limit and cursor, and format.
func parseExport(r *http.Request) (q query, format string, err error) {
	values, err := parameterValues(r)
	if err != nil {
		return q, "", err
	}
	var problems []fault.Problem
	for _, name := range []string{"limit", "cursor"} {
		if values.Has(name) {
			problems = append(problems, fault.Problem{Path: name, Message: "an export gives all there is"})
		}
	}
	if format = values.Get("format"); format != "csv" && format != "ndjson" {
		problems = append(problems, fault.Problem{Path: "format", Message: "it must be csv or ndjson"})
	}
	if len(problems) > 0 {
		return q, "", fault.Newf(fault.Invalid, "bad parameter %s: %s", problems[0].Path, problems[0].Message).WithProblems(problems...)
	}
	values.Del("format")
	if !values.Has("order") {
		values.Set("order", "asc")
	}
	q, err = parseQuery(values)
	q.limit = exportPage
	return q, format, err
}

func parameterValues(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the query cannot be read", err)
	}
	return values, nil
}

// ndjson writes an event a line, as a search gives it.
type ndjson struct{ to *json.Encoder }

func (n *ndjson) write(e *Event) error { return n.to.Encode(e) }
func (*ndjson) flush() error           { return nil }

// sheet writes CSV (RFC 4180) that a spreadsheet takes for text: a value that begins like a formula gets a ' before it, as
// OWASP advises (CSV Injection). What begins with ' gets one too, so that taking away one ' from whatever begins with it
// gives back what there was.
type sheet struct {
	to  *csv.Writer
	row []string
}

func newSheet(out io.Writer) *sheet {
	s := &sheet{to: csv.NewWriter(out)} // with CRLF it would change the line ends inside of values too
	_ = s.to.Write(sheetColumns())      // buffered: flush tells
	return s
}

func (s *sheet) write(e *Event) error {
	s.row = e.values(s.row[:0])
	for i, value := range s.row {
		if value != "" && strings.IndexByte("=+-@\t\r\n'", value[0]) >= 0 || strings.HasPrefix(value, "＝") || strings.HasPrefix(value, "＋") ||
			strings.HasPrefix(value, "－") || strings.HasPrefix(value, "＠") {
			s.row[i] = "'" + value
		}
	}
	return s.to.Write(s.row)
}

func (s *sheet) flush() error {
	s.to.Flush()
	return s.to.Error()
}

// sheetColumns are the first row of a CSV.
func sheetColumns() []string {
	return []string{
		"id", "time", "request_id", "site", "gateway", "node", "config_version", "credential", "provider", "client_id",
		"credential_fingerprint", "user", "decision", "reason", "detail", "observed", "status", "outcome",
		"method", "path", "query", "client_ip", "user_agent", "bytes_in", "bytes_out", "duration_ns", "upstream_duration_ns",
		"trace_id", "epoch", "n", "kind", "access", "client_ip_source", "token_id", "groups", "change",
	}
}

// values are those of the columns. Groups are separated by blanks, each written as in a query of a URL.
func (e *Event) values(to []string) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	groups := make([]string, len(e.Groups))
	for i, g := range e.Groups {
		groups[i] = url.QueryEscape(g)
	}
	return append(to,
		number(e.ID), e.Time.Format(time.RFC3339Nano), e.RequestID, e.Site, e.Gateway, e.Node, number(e.ConfigVersion), e.Credential, e.Provider, e.ClientID,
		e.CredentialFingerprint, e.User, e.Decision, e.Reason, e.Detail, e.Observed, number(int64(e.Status)), e.Outcome,
		e.Method, e.Path, e.Query, e.ClientIP, e.UserAgent, number(e.BytesIn), number(e.BytesOut), number(e.DurationNS), number(e.UpstreamDurationNS),
		e.TraceID, number(e.Epoch), number(e.N), e.Kind, e.Access, e.ClientIPSource, e.TokenID, strings.Join(groups, " "), string(e.Change),
	)
}
