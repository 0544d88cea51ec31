package lab

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is a way an endpoint can fail. The zero value is healthy.
type Fault struct {
	serve func(w http.ResponseWriter, r *http.Request, healthy http.Handler)
}

func (f Fault) handle(w http.ResponseWriter, r *http.Request, healthy http.Handler) {
	if f.serve == nil {
		healthy.ServeHTTP(w, r)
		return
	}
	f.serve(w, r, healthy)
}

// Down closes the connection without an answer.
func Down() Fault {
	return Fault{serve: func(http.ResponseWriter, *http.Request, http.Handler) {
		panic(http.ErrAbortHandler)
	}}
}

// Slow answers as usual, d later, unless the caller leaves first.
func Slow(d time.Duration) Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, healthy http.Handler) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			healthy.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}}
}

// Reply answers every call with this status, content type and body.
func Reply(status int, contentType, body string) Fault {
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
}

// Status500 is a server error with a JSON body.
func Status500() Fault {
	return Reply(http.StatusInternalServerError, typeJSON, `{"error":"server_error"}`)
}

// HTML200 is a 200 with a page: a login portal or a proxy in between.
func HTML200() Fault {
	return Reply(http.StatusOK, typeHTML, "<!doctype html><title>Welcome</title><h1>Please sign in</h1>")
}

// NotJSON is a 200 that claims to be JSON and is cut in the middle.
func NotJSON() Fault {
	return Reply(http.StatusOK, typeJSON, `{"active":true,"scope":"read wri`)
}

// Huge is a valid active answer of 5 MiB.
func Huge() Fault {
	const size = 5 << 20
	return Fault{serve: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		head, tail := `{"active":true,"padding":"`, `"}`
		w.Header().Set("Content-Type", typeJSON)
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = io.WriteString(w, head)
		_, _ = io.Copy(w, io.LimitReader(constant('x'), int64(size-len(head)-len(tail))))
		_, _ = io.WriteString(w, tail)
	}}
}

// Redirect sends the caller elsewhere (307, so with the body and its secrets):
// to /lab/redirected of the same server, which counts who follows.
func Redirect() Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, redirectTarget, http.StatusTemporaryRedirect)
	}}
}

const redirectTarget = "/lab/redirected"

// Edited lets the healthy JSON object be changed on its way out.
func Edited(edit func(object map[string]any)) Fault {
	return Fault{serve: func(w http.ResponseWriter, r *http.Request, healthy http.Handler) {
		c := &captured{header: w.Header(), status: http.StatusOK}
		healthy.ServeHTTP(c, r)
		body := c.body.Bytes()
		object := map[string]any{}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if dec.Decode(&object) == nil {
			edit(object)
			if changed, err := json.Marshal(object); err == nil {
				body = changed
			}
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(c.status)
		_, _ = w.Write(body)
	}}
}

// WrongTypes is a healthy answer as careless providers give it: times as
// strings, audience as one string, scope as a list, active as a string.
func WrongTypes() Fault {
	return Edited(func(o map[string]any) {
		for _, name := range []string{"exp", "iat", "nbf"} {
			if n, ok := o[name].(json.Number); ok {
				o[name] = n.String()
			}
		}
		if aud, ok := o["aud"].([]any); ok && len(aud) > 0 {
			o["aud"] = aud[0]
		}
		if scope, ok := o["scope"].(string); ok {
			o["scope"] = strings.Fields(scope)
		}
		if active, ok := o["active"].(bool); ok {
			o["active"] = strconv.FormatBool(active)
		}
	})
}

// Without is a healthy answer that lacks these members, as "exp".
func Without(names ...string) Fault {
	return Edited(func(o map[string]any) {
		for _, name := range names {
			delete(o, name)
		}
	})
}

// captured is a reply held back to be edited.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is that of the real reply.
func (c *captured) Header() http.Header { return c.header }

// WriteHeader keeps the status.
func (c *captured) WriteHeader(status int) { c.status = status }

// Write keeps the body.
func (c *captured) Write(p []byte) (int, error) { return c.body.Write(p) }

// constant is an endless stream of one byte.
type constant byte

// Read fills p.
func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}
