package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// probePath is where every node shows what it sees and how connections behave.
const probePath = "/rest/lab/1/"

func (p *Product) probeRoutes() {
	p.route(probePath+"echo", echo)
	p.route(probePath+"echo/{rest...}", echo)
	p.route(probePath+"slow", slow)
	p.route(probePath+"stream", stream)
	p.route(probePath+"websocket", echoSocket)
	p.route(probePath+"trailers", trailers)
	p.route(probePath+"early", early)
	p.route(probePath+"status/{code}", answerStatus)
}

// echo reads the whole body and tells what arrived.
func echo(w http.ResponseWriter, r *http.Request, c call) {
	hash := sha256.New()
	length, err := io.Copy(hash, r.Body)
	if err != nil {
		containerError(w, http.StatusBadRequest, "Body ended early")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"node":              c.node.id,
		"product":           c.node.product.kind,
		"user":              c.name,
		"method":            r.Method,
		"request_uri":       r.RequestURI,
		"path":              r.URL.Path,
		"proto":             r.Proto,
		"host":              r.Host,
		"header":            r.Header,
		"trailer":           r.Trailer,
		"transfer_encoding": r.TransferEncoding,
		"content_length":    r.ContentLength,
		"body_length":       length,
		"body_sha256":       hex.EncodeToString(hash.Sum(nil)),
		"remote_addr":       r.RemoteAddr,
	})
}

func number(r *http.Request, name string, fallback int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 0 {
		return fallback
	}
	return n
}

// pause waits; false means the caller left, or the node is being closed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// abandon counts a call that can not be completed and cuts its connection, so
// that nobody takes what was sent for the whole answer.
func (c call) abandon() {
	c.node.abandoned.Add(1)
	panic(http.ErrAbortHandler)
}

// slow answers after ?ms= milliseconds.
func slow(w http.ResponseWriter, r *http.Request, c call) {
	ms := number(r, "ms", 100)
	if !pause(r.Context(), time.Duration(ms)*time.Millisecond) {
		c.abandon()
	}
	writeJSON(w, http.StatusOK, map[string]any{"node": c.node.id, "slept_ms": ms})
}

// stream sends ?n= server-sent events, one each ?ms= milliseconds, the first at
// once; n=0 never ends.
func stream(w http.ResponseWriter, r *http.Request, c call) {
	n, gap := number(r, "n", 5), time.Duration(number(r, "ms", 10))*time.Millisecond
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := http.NewResponseController(w)
	for i := 1; n == 0 || i <= n; i++ {
		if i > 1 && !pause(r.Context(), gap) {
			c.abandon()
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: {\"node\":%q,\"event\":%d}\n\n", i, c.node.id, i); err != nil {
			c.abandon()
		}
		if out.Flush() != nil {
			c.abandon()
		}
	}
}

// echoSocket sends every message back until the other side closes.
func echoSocket(w http.ResponseWriter, r *http.Request, _ call) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: []string{"*"}})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// trailers sends the body back and, behind it, its hash.
func trailers(w http.ResponseWriter, r *http.Request, _ call) {
	_ = http.NewResponseController(w).EnableFullDuplex() // the answer begins while the body is still coming
	w.Header().Set("Trailer", "X-Lab-Sha256, X-Lab-Length")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	hash := sha256.New()
	length, err := io.Copy(io.MultiWriter(w, hash), r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Lab-Sha256", hex.EncodeToString(hash.Sum(nil)))
	w.Header().Set("X-Lab-Length", strconv.FormatInt(length, 10))
}

// early refuses the body without having read any of it.
func early(w http.ResponseWriter, _ *http.Request, _ call) {
	w.Header().Set("Connection", "close")
	restMessage(w, http.StatusRequestEntityTooLarge, "Request too large.")
}

// answerStatus answers with the status named in the path.
func answerStatus(w http.ResponseWriter, r *http.Request, c call) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		restMessage(w, http.StatusBadRequest, "a status from 200 to 599")
		return
	}
	if code >= 300 && code < 400 {
		w.Header().Set("Location", c.base+probePath+"echo")
	}
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	restMessage(w, code, http.StatusText(code))
}
