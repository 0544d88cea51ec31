package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// maxBody is the largest body of a request in bytes; a commit may have 900 KiB, and a document says it at
// greater length.
const maxBody = 4 << 20

// codeGatewaysTooOld is the one code that is only ours: a live gateway could not fold the change.
const codeGatewaysTooOld fault.Code = "gateways_too_old"

// refusal is a fault with another status than its code's.
type refusal struct {
	cause   *fault.Error
	status  int
	current *eventlog.State // the state that holds instead of the one named
}

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

func refuse(status int, f *fault.Error) error { return &refusal{cause: f, status: status} }

// unfit is the answer to a document that cannot work.
func unfit(message string, problems []fault.Problem) error {
	return refuse(http.StatusUnprocessableEntity, fault.New(fault.Invalid, message).WithProblems(problems...))
}

// reply answers in the syntax that was asked for.
func (a *api) reply(w http.ResponseWriter, r *http.Request, status int, body any) {
	syntax := accepted(r)
	data, err := document.Write(body, syntax)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Content-Type", "application/"+string(syntax))
	w.WriteHeader(status)
	_, _ = w.Write(data) //nolint:gosec // JSON or YAML, and nosniff says so
}

// fail answers with a fault, always in JSON, and logs what is ours to mend.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("request_id", requestID(r)), slog.Any("error", err),
	}
	if f.Code == fault.Internal {
		a.log.LogAttrs(r.Context(), slog.LevelError, "request failed", attrs...)
	}
	if f.Code == fault.Unavailable {
		w.Header().Set("Retry-After", "1")
		a.log.LogAttrs(r.Context(), slog.LevelInfo, "request not answered", attrs...)
	}
	var special *refusal
	switch {
	case !errors.As(err, &special):
		web.Fault(w, 0, err)
	case special.current == nil:
		web.Fault(w, special.status, err)
	default:
		w.Header().Set("ETag", etag(*special.current))
		web.JSON(w, special.status, map[string]any{
			"code": f.Code, "message": f.Message, "etag": etag(*special.current), "version": special.current.Seq,
		})
	}
}

// accepted gives the syntax an answer should have: JSON unless YAML is preferred.
func accepted(r *http.Request) document.Syntax {
	best, json, yaml := 0.0, 0.0, 0.0
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		if err != nil {
			q = 1
		}
		switch {
		case isYAML(kind):
			yaml = max(yaml, q)
		case kind == "application/json":
			json = max(json, q)
		default:
			best = max(best, q)
		}
	}
	if yaml > json && yaml >= best {
		return document.YAML
	}
	return document.JSON
}

func isYAML(kind string) bool {
	return slices.Contains([]string{"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}, kind)
}

// body reads a request's body and tells its syntax.
func body(w http.ResponseWriter, r *http.Request) ([]byte, document.Syntax, error) {
	syntax := document.JSON
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Content-Type") == "" || (err == nil && kind == "application/json"):
	case err == nil && isYAML(kind):
		syntax = document.YAML
	default:
		return nil, "", refuse(http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "send Content-Type: application/json or application/yaml"))
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, "", refuse(http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "send the body without Content-Encoding"))
	}
	tooLarge := refuse(http.StatusRequestEntityTooLarge, fault.Newf(fault.Invalid, "the body is larger than %d MiB", maxBody>>20))
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(time.Minute))
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if len(data) > maxBody {
		// Read on for a while: a client that sends all before it reads would be cut off, and never know why.
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 8*maxBody))
		return nil, "", tooLarge
	}
	if err != nil {
		return nil, "", fault.Wrap(fault.Invalid, "the body could not be read", err)
	}
	_ = control.SetReadDeadline(time.Time{})
	return data, syntax, nil
}

// query gives a request's query when it holds nothing but what is known: a mistyped dry_run must not become
// the real thing.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the query cannot be read")
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, fault.Newf(fault.Invalid, "unknown query parameter %.40q", name)
		}
		if len(given) > 1 {
			return nil, fault.Newf(fault.Invalid, "query parameter %s is there twice", name)
		}
	}
	return values, nil
}

// number reads a query parameter that is a sequence or a count.
func number(values url.Values, name string, absent, low, high uint64) (uint64, error) {
	if !values.Has(name) {
		return absent, nil
	}
	n, err := strconv.ParseUint(values.Get(name), 10, 64)
	if err != nil || n < low || n > high {
		return 0, fault.Newf(fault.Invalid, "%s must be a whole number from %d to %d", name, low, high)
	}
	return n, nil
}

// etag gives a state's entity tag, a strong one (RFC 9110 §8.8.3).
func etag(s eventlog.State) string { return fmt.Sprintf("%q", s.String()) }
