package config

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// headerRequestID carries the id of a request, in every answer.
const headerRequestID = "X-Gatehouse-Request-Id"

type requestIDKey struct{}

// requestID gives the id of a request.
func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

// ownHeaders are in every answer.
func ownHeaders() map[string]string {
	return map[string]string{
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		"Referrer-Policy":         "no-referrer",
		"X-Content-Type-Options":  "nosniff",
		"X-Frame-Options":         "DENY",
	}
}

// framed gives every request an id, a span and the headers all answers have, counts what is refused, and
// answers a panic.
func (a *api) framed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := sane(r.Header.Get("X-Request-Id"))
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := a.tracer.Start(context.WithValue(ctx, requestIDKey{}, id), "admin "+r.Method,
			trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("url.path", r.URL.Path), attribute.String("request_id", id)))
		defer span.End()
		r = r.WithContext(ctx)
		w.Header().Set(headerRequestID, id)
		for name, value := range ownHeaders() {
			w.Header().Set(name, value)
		}
		seen := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			if p := recover(); p != nil {
				a.panicked(seen, r, p)
			}
			a.metrics.count(seen.Status())
			span.SetAttributes(attribute.Int("http.response.status_code", seen.Status()))
			if seen.Status() >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, http.StatusText(seen.Status()))
			}
			a.log.LogAttrs(ctx, slog.LevelDebug, "answered", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", seen.Status()), slog.String("request_id", id))
		}()
		next.ServeHTTP(seen, r)
	})
}

// panicked logs a panic and answers, if nothing was answered yet. What net/http ends an answer with goes on.
func (a *api) panicked(w middleware.WrapResponseWriter, r *http.Request, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(p)
	}
	a.log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.Any("panic", p), slog.String("path", r.URL.Path),
		slog.String("request_id", requestID(r)), slog.String("stack", string(debug.Stack())))
	if w.Status() == 0 {
		web.Fault(w, http.StatusInternalServerError, fault.New(fault.Internal, "internal error"))
	}
}

// sane gives a request id that may be stored and logged: the client's, or one of our own.
func sane(id string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"
	if id != "" && len(id) <= 128 && strings.Trim(id, letters) == "" {
		return id
	}
	own := make([]byte, 16)
	_, _ = rand.Read(own) // never fails
	return hex.EncodeToString(own)
}
