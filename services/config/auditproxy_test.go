package config

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// TestExportsAreHandedOn as they end: a whole one with its trailer, a cut one as a broken transfer; and who leaves is gone
// for the audit service too.
func TestExportsAreHandedOn(t *testing.T) {
	t.Parallel()
	left, over := make(chan struct{}), make(chan struct{})
	audit := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Gatehouse-Export-Complete")
		_, _ = io.WriteString(w, "first\n")
		w.(http.Flusher).Flush()
		switch r.URL.Query().Get("end") {
		case "whole":
			w.Header().Set("Gatehouse-Export-Complete", "true")
		case "cut":
			panic(http.ErrAbortHandler)
		case "left":
			select {
			case <-r.Context().Done():
				close(left)
			case <-over:
			}
		}
	}))
	t.Cleanup(audit.Close)
	t.Cleanup(func() { close(over) }) // before that
	i := start(t, testkit.StartNATS(t), func(s *Settings) { s.AuditURL = audit.URL }).ready()
	begin := func(ctx context.Context, end string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"audit/export?end="+end, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+firstToken)
		resp, err := i.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if _, err := io.ReadFull(resp.Body, make([]byte, len("first\n"))); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	whole := begin(t.Context(), "whole")
	if _, err := io.ReadAll(whole.Body); err != nil || whole.Trailer.Get("Gatehouse-Export-Complete") != "true" {
		t.Errorf("whole: %v, %v", err, whole.Trailer)
	}
	cut := begin(t.Context(), "cut")
	if _, err := io.ReadAll(cut.Body); err == nil || cut.Trailer.Get("Gatehouse-Export-Complete") != "" {
		t.Errorf("cut: %v, %v", err, cut.Trailer)
	}
	ctx, leave := context.WithCancel(t.Context())
	begin(ctx, "left")
	leave()
	select {
	case <-left:
	case <-time.After(20 * time.Second):
		t.Error("it is not told that its client has left")
	}
}
