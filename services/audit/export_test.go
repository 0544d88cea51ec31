package audit

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// exporting begins an export of which no more is in flight than the sockets hold, and reads its first bytes.
func (in *instance) exporting(ctx context.Context, t *testing.T) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, in.base+"/api/v1/audit/export?format=ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return resp
}

// cutExports is how many exports the metrics say were cut.
func (in *instance) cutExports() int {
	_, body := in.ops("/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "gatehouse_audit_searches_total{") && strings.Contains(line, `fault="cut"`) && strings.Contains(line, `what="export"`) {
			n, err := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]))
			if err != nil {
				return -1
			}
			return n
		}
	}
	return 0
}

// TestExportIsCut when its client goes, takes nothing, or Postgres stays away: never a short one that looks whole. Its
// place is free again, and nothing is held in Postgres.
func TestExportIsCut(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	way := newProxy(t, w.url)
	in := w.start(t, func(s *Settings) { s.DatabaseURL, s.Exports, s.Intervals.Export = way.url, 1, 300*time.Millisecond })
	for k := range uint64(40) {
		w.publish(t, batch("gw1", 1, k*250+1, k*250+250, func(_ uint64, r *auditv1.Record) { r.UserAgent = strings.Repeat("x", 900) }))
	}
	w.awaitCount(t, 10_000)
	goes := func() {
		ctx, leave := context.WithCancel(t.Context())
		in.exporting(ctx, t)
		leave()
	}
	stalls := func() { in.exporting(t.Context(), t) } // and is read no further
	postgresStaysAway := func() {
		resp := in.exporting(t.Context(), t)
		way.cut()
		if _, err := io.Copy(io.Discard, resp.Body); err == nil || resp.Trailer.Get("Gatehouse-Export-Complete") != "" {
			t.Errorf("it looks whole: %v, %v", err, resp.Trailer)
		}
		way.back()
	}
	for i, cut := range []func(){goes, stalls, postgresStaysAway} {
		cut()
		await(t, "cut", func() bool { return in.cutExports() == i+1 })
		await(t, "nothing is held", func() bool {
			return row[int](t, w.url, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
				AND application_name = 'gatehouse-audit-search' AND state <> 'idle'`) == 0
		})
		await(t, "the place is free", func() bool {
			resp, _ := in.export(t, "format=csv&user=nobody")
			return resp.StatusCode == http.StatusOK && resp.Trailer.Get("Gatehouse-Export-Records") == "0"
		})
	}
}
