package audit

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
)

// varied is 40 calls that differ in every field.
func varied(t testing.TB) (*world, *instance) {
	t.Helper()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows = 10 })
	b, _ := chained(audittrail.Genesis(audittrail.Hash{}, "gw1", 1), batch("gw1", 1, 1, 40, func(n uint64, r *auditv1.Record) {
		odd := map[bool]string{true: "odd", false: "even"}[n%2 == 1]
		r.Site, r.Node, r.Credential, r.Provider, r.ClientId, r.CredentialFingerprint, r.TokenId = odd+"-site", odd+"-node", odd+"-cred", odd+"-idp", odd+"-client", odd+"-print", odd+"-token"
		r.User, r.Decision, r.Reason, r.Observed, r.Detail, r.Access, r.Method = odd+"-user", odd+"-decision", odd+"-reason", odd+"-observed", odd+"-detail", odd+"-access", odd+"-method"
		r.Path, r.Query, r.UserAgent, r.TraceId, r.ClientIpSource = "/"+odd+"/path", odd+"=1", odd+"-agent", odd+"-trace", odd+"-source"
		r.Groups = []string{"all", odd + "-group"}
		r.ClientIp, r.ConfigVersion, r.Status = fmt.Sprintf("10.0.%d.%d", n%2, n), n%2, uint32(200+n%2*204)
		r.Duration = n * uint64(time.Millisecond)
		audittrail.Clean(r)
	}))
	w.publish(t, b)
	w.awaitCount(t, 40)
	return w, in
}

// TestEveryField can be searched for, several values are any of them, and several fields all of them.
func TestEveryField(t *testing.T) {
	t.Parallel()
	_, in := varied(t)
	for _, name := range []string{
		"site=odd-site", "node=odd-node", "credential=odd-cred", "provider=odd-idp", "client_id=odd-client", "credential_fingerprint=odd-print",
		"token_id=odd-token", "user=odd-user", "decision=odd-decision", "reason=odd-reason", "observed=odd-observed", "detail=odd-detail",
		"access=odd-access", "method=odd-method", "path=/odd/path", "path_prefix=/odd", "query=odd%3D1", "user_agent=odd-agent", "trace_id=odd-trace",
		"client_ip_source=odd-source", "group=odd-group", "client_ip=10.0.1.0/24", "config_version=1", "status=404", "status=4xx", "status=400-404",
		"user=odd-user&user=nobody", "status=404&status=500-599", "client_ip=10.0.1.0/24&client_ip=192.0.2.1", "group=none&group=odd-group",
		"user=odd-user&site=odd-site&group=all&kind=call&gateway=gw1&epoch=1&outcome=completed", "user=&site=odd-site",
	} {
		p := in.search(t, name)
		if len(p.Events) != 20 || p.Events[0].ID != 39 || p.Events[0].User != "odd-user" || !slices.Equal(p.Events[0].Groups, []string{"all", "odd-group"}) {
			t.Errorf("%s: %v", name, ids(p))
		}
	}
	for name, want := range map[string][]int64{
		"n=7": {7}, "n=7&n=9": {9, 7}, "min_duration=39ms": {40, 39}, "request_id=gw1-1-3&request_id=gw1-1-4": {4, 3}, "path_prefix=%25": {},
		"user=odd-user&site=even-site": {}, "epoch=2": {}, "config_version=2": {}, "group=al": {},
	} {
		if p := in.search(t, name); !slices.Equal(ids(p), want) {
			t.Errorf("%s: %v, not %v", name, ids(p), want)
		}
	}
}

// TestPagesBothWays: going back gives the pages that were come through, also while records are added.
func TestPagesBothWays(t *testing.T) {
	t.Parallel()
	w, in := varied(t)
	for _, order := range []string{"asc", "desc"} {
		for _, filter := range []string{"&gateway=gw1", "&gateway=gw1&user=odd-user", "&gateway=gw1&n=7&n=33"} {
			base := "limit=3&order=" + order + filter
			var pages [][]int64
			var last reading.Page
			for cursor := ""; ; {
				last = in.search(t, base+"&cursor="+cursor)
				pages = append(pages, ids(last))
				if cursor = last.Next; cursor == "" {
					break
				}
			}
			if first := in.search(t, base); first.Previous != "" {
				t.Errorf("%s: a page before the first: %s", base, first.Previous)
			}
			w.publish(t, batch("gw2", 1, 1, 2)) // again: nothing but the first time
			for i := len(pages) - 2; i >= 0; i-- {
				last = in.search(t, base+"&cursor="+last.Previous)
				if !slices.Equal(ids(last), pages[i]) {
					t.Fatalf("%s: page %d back is %v, not %v", base, i, ids(last), pages[i])
				}
			}
			for i := 1; i < len(pages); i++ {
				last = in.search(t, base+"&cursor="+last.Next)
				if !slices.Equal(ids(last), pages[i]) {
					t.Fatalf("%s: page %d on again is %v, not %v", base, i, ids(last), pages[i])
				}
			}
		}
	}
}

// export asks for an export and gives its body and trailers.
func (in *instance) export(t testing.TB, query string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.base+"/api/v1/audit/export?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// hostile is what callers and attackers send.
func hostile() []string {
	return []string{
		"line\nbreak", "carriage\rreturn", "both\r\n", `"quotes", 'and' commas`, "tab\there", "\x1b[31mred\x1b[0m", "nul\x00byte", "invalid \xff\xff utf-8", "ends \xc3\x28",
		"=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "'already", "＝1", "\u202e right to left", "\u2028 line separator", "<script>alert(1)</script>",
		`'; DROP TABLE audit.call; --`, `\'; \x00`, "%s%n", "{{7*7}}", strings.Repeat("a", 64<<10), strings.Repeat("é", 3000), "🙂", " ",
	}
}

// TestHostileContent is stored, found and exported as it is, but for what cannot be text.
func TestHostileContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	texts := hostile()
	fit, unfit := strings.NewReplacer("\xff\xff", "AB", "\xc3\x28", "CD"), strings.NewReplacer("invalid AB utf-8", "invalid \xff\xff utf-8", "ends CD", "ends \xc3\x28")
	b := batch("gw1", 1, 1, uint64(len(texts)), func(n uint64, r *auditv1.Record) {
		text := fit.Replace(texts[n-1]) // protobuf writes nothing else
		r.UserAgent, r.Path, r.User, r.Detail, r.Groups = text, "/"+text, text, text, []string{text, "b c"}
	})
	body, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	w.publishRaw(t, "gw1", []byte(unfit.Replace(string(body))))
	w.awaitCount(t, int64(len(texts)))
	var want []reading.Event
	p := in.search(t, "order=asc&limit=1000")
	for i, e := range p.Events {
		text := strings.ReplaceAll(audittrail.EachInvalid(texts[i]), "\x00", "␀")
		for name, got := range map[string]string{"user_agent": e.UserAgent, "path": strings.TrimPrefix(e.Path, "/"), "detail": e.Detail} {
			if got != text && (len(text) <= 2000 || !strings.HasSuffix(got, "…") || !strings.HasPrefix(text, strings.TrimSuffix(got, "…"))) {
				t.Errorf("%.40q as %s is %.60q", texts[i], name, got)
			}
		}
		if len(e.UserAgent) < 3000 {
			if found := in.search(t, "user_agent="+queryEscape(e.UserAgent)); !slices.Contains(ids(found), e.ID) {
				t.Errorf("%.40q is not found", e.UserAgent)
			}
		}
		want = append(want, e)
	}
	if len(want) != len(texts) {
		t.Fatalf("%d events", len(want))
	}
	resp, exported := in.export(t, "format=ndjson&gateway=gw1")
	var got []reading.Event
	lines := bufio.NewScanner(strings.NewReader(string(exported)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e reading.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || resp.Trailer.Get("Gatehouse-Export-Complete") != "true" || resp.Trailer.Get("Gatehouse-Export-Records") != fmt.Sprint(len(texts)) {
		t.Errorf("exported %d of %d, %v", len(got), len(want), resp.Trailer)
	}
	_, exported = in.export(t, "format=csv&gateway=gw1")
	rows, err := csv.NewReader(strings.NewReader(string(exported))).ReadAll()
	if err != nil || len(rows) != len(texts)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	column := func(name string) int { return slices.Index(rows[0], name) }
	for i, row := range rows[1:] {
		cell := row[column("user_agent")]
		if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") || strings.HasPrefix(cell, "＝") {
			t.Errorf("a spreadsheet takes %q for a formula", cell)
		}
		plain := strings.TrimPrefix(cell, "'")
		if normal := strings.ReplaceAll(want[i].UserAgent, "\r\n", "\n"); plain != normal { // as Go's reader of CSV has it
			t.Errorf("%.40q is %.40q in CSV", normal, plain)
		}
	}
}

func queryEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// TestExport gives what a search finds, all of it, tells the trail before, and can be compressed.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.PartitionRows = 500 })
	for k := range uint64(10) {
		w.publish(t, batch("gw1", 1, k*250+1, k*250+250))
	}
	w.awaitCount(t, 2500)
	resp, plain := in.export(t, "format=ndjson&user=alice")
	if n := strings.Count(string(plain), "\n"); n != 2500 || resp.Trailer.Get("Gatehouse-Export-Records") != "2500" {
		t.Fatalf("%d lines, %v", n, resp.Trailer)
	}
	await(t, "the export is in the trail", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'audit.exported' AND "user" = 'bootstrap'
			AND change::jsonb = '{"format":"ndjson","filters":{"format":["ndjson"],"user":["alice"]}}'`) == 1
	})
	resp, packed := in.export(t, "format=ndjson&user=alice", "Accept-Encoding", "gzip")
	unzip, err := gzip.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unzip); err != nil || string(text) != string(plain) || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	_, newest := in.export(t, "format=csv&order=desc&user=alice")
	if rows, err := csv.NewReader(strings.NewReader(string(newest))).ReadAll(); err != nil || len(rows) != 2501 || rows[1][0] < rows[2][0] {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for query, names := range map[string]string{"": "format", "format=xml": "format", "format=csv&limit=5": "limit", "format=csv&cursor=x": "cursor", "format=csv&usr=x": "usr"} {
		if resp, body := in.export(t, query); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), names) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
}

// TestExportIsRefused when the trail cannot be told of it, and when too many run.
func TestExportIsRefused(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	in := w.start(t, func(s *Settings) { s.Exports = 1 })
	w.publish(t, batch("gw1", 1, 1, 10))
	w.awaitCount(t, 10)
	w.nats.Stop()
	answered := make(chan int, 2)
	for range 2 {
		go func() {
			resp, _ := in.export(t, "format=csv")
			answered <- resp.StatusCode
		}()
	}
	if got := []int{<-answered, <-answered}; !slices.Equal(got, []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}) {
		t.Errorf("answered %v", got)
	}
	w.nats.Start(t)
	await(t, "exports again", func() bool { resp, _ := in.export(t, "format=csv"); return resp.StatusCode == http.StatusOK })
}

// TestExportGoesOn where it was when Postgres was away for a moment.
func TestExportGoesOn(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	way := newProxy(t, w.url)
	in := w.start(t, func(s *Settings) { s.DatabaseURL = way.url })
	for k := range uint64(40) {
		w.publish(t, batch("gw1", 1, k*250+1, k*250+250, func(_ uint64, r *auditv1.Record) { r.UserAgent = strings.Repeat("x", 900) }))
	}
	w.awaitCount(t, 10_000)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.base+"/api/v1/audit/export?format=ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	way.cut()
	way.back()
	rest, err := io.ReadAll(resp.Body) // it goes on where it was
	if err != nil || resp.Trailer.Get("Gatehouse-Export-Complete") != "true" || !strings.HasSuffix(string(rest), "\n") {
		t.Errorf("%d bytes, %v, %v", len(rest), err, resp.Trailer)
	}
}

// TestStats are what a count of the calls gives, however they came.
func TestStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.start(t)
	w.publish(t,
		batch("gw1", 1, 1, 50, func(n uint64, r *auditv1.Record) {
			r.Time += n % 3 * uint64(time.Hour)
			r.Duration = n * n * uint64(time.Millisecond)
			if n%5 == 0 {
				r.Decision, r.Reason, r.Status = "deny", "token_inactive", 401
			}
			if n > 45 {
				r.Outcome = "open"
			}
		}),
		batch("gw1", 1, 51, 53, func(n uint64, r *auditv1.Record) { r.Opened = n - 5 }),
		batch("gw1", 1, 1, 53), // again
	)
	w.awaitCount(t, 53)
	const q = "stats?from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z"
	s := told[reading.Stats](t, in, http.StatusOK, http.MethodGet, q+"&interval=hour&by=decision,status", "")
	for _, r := range s.Rows {
		n := row[int64](t, w.url, `SELECT count(*) FROM audit.events WHERE outcome <> 'open' AND decision = $1 AND status / 100 || 'xx' = $2
			AND date_trunc('hour', time, 'UTC') = $3`, r.By["decision"], r.By["status"], r.Time)
		fast := row[int64](t, w.url, `SELECT count(*) FROM audit.events WHERE outcome <> 'open' AND decision = $1 AND status / 100 || 'xx' = $2
			AND date_trunc('hour', time, 'UTC') = $3 AND duration_ns <= 500000000`, r.By["decision"], r.By["status"], r.Time)
		if r.Calls != n || r.Within500ms != fast {
			t.Errorf("%+v, not %d and %d", r, n, fast)
		}
	}
	if len(s.Rows) != 6 {
		t.Errorf("%d rows: %+v", len(s.Rows), s.Rows)
	}
	day := told[reading.Stats](t, in, http.StatusOK, http.MethodGet, q+"&interval=day&decision=deny", "")
	if len(day.Rows) != 1 || day.Rows[0].Calls != row[int64](t, w.url, `SELECT count(*) FROM audit.events WHERE decision = 'deny' AND outcome <> 'open'`) {
		t.Errorf("%+v", day.Rows)
	}
	for query, names := range map[string]string{"interval=week": "interval", "by=user": "by", "by=site,site": "by", "from=x": "from", "usr=x": "usr", "to=2020-01-01T00:00:00Z&from=2021-01-01T00:00:00Z": "to"} {
		if status, body := in.ask(t, http.MethodGet, adminToken, "stats?"+query, ""); status != http.StatusBadRequest || !strings.Contains(body, names) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

// verified goes through all pages of a verification.
func verified(t testing.TB, in *instance, query string) (all reading.Verified) {
	t.Helper()
	all.OK = true
	for cursor := ""; ; {
		v := told[reading.Verified](t, in, http.StatusOK, http.MethodGet, "verify?"+query+"&cursor="+cursor, "")
		all.OK, all.Records, all.Unchained = all.OK && v.OK, all.Records+v.Records, all.Unchained+v.Unchained
		all.Faults, all.Removed, all.Heads = append(all.Faults, v.Faults...), append(all.Removed, v.Removed...), append(all.Heads, v.Heads...)
		if cursor = v.Next; cursor == "" {
			return all
		}
	}
}

// TestVerify finds whatever was altered, taken away or put in between.
func TestVerify(t *testing.T) {
	t.Parallel()
	w, in := varied(t)
	at := audittrail.Genesis(audittrail.Hash(row[[]byte](t, w.url, `SELECT hash FROM audit.run WHERE gateway = 'gw1'`)), "gw1", 2)
	for k := range uint64(20) {
		var b *auditv1.Batch
		b, at = chained(at, batch("gw1", 2, k*5+1, k*5+5, func(n uint64, r *auditv1.Record) {
			if n%10 == 0 {
				r.Kind, r.Change = audittrail.ConfigCommitted, `{"b": 1.0,  "a":["é"]}`
			}
			audittrail.Clean(r)
		}))
		w.publish(t, b)
	}
	w.awaitCount(t, 140)
	v := verified(t, in, "gateway=gw1")
	if !v.OK || v.Records != 140 || len(v.Heads) != 2 || v.Heads[1].N != 100 || v.Unchained != 0 {
		t.Fatalf("%+v", v)
	}
	for name, c := range map[string]struct{ spoil, mend, what string }{
		"altered":       {`UPDATE audit.call SET username = 'mallory' WHERE epoch = 2 AND n = 33`, `UPDATE audit.call SET username = 'alice' WHERE username = 'mallory'`, "altered"},
		"time":          {`UPDATE audit.call SET time = time + interval '1 microsecond' WHERE epoch = 2 AND n = 33`, `UPDATE audit.call SET time = time - interval '1 microsecond' WHERE epoch = 2 AND n = 33`, "altered"},
		"renumbered":    {`UPDATE audit.call SET n = 1000 WHERE epoch = 2 AND n = 33`, `UPDATE audit.call SET n = 33 WHERE n = 1000`, "altered"},
		"hash too":      {`UPDATE audit.run SET hash = sha256('x') WHERE epoch = 2 AND last_n = 100`, `UPDATE audit.run SET hash = (SELECT hash FROM saved WHERE last_n = 100) WHERE epoch = 2 AND last_n = 100`, "altered"},
		"taken away":    {`DELETE FROM audit.call WHERE epoch = 2 AND n = 33`, `INSERT INTO audit.call SELECT * FROM rows WHERE epoch = 2 AND n = 33`, "incomplete"},
		"run as well":   {`DELETE FROM audit.run WHERE epoch = 2 AND first_n <= 33 AND last_n >= 33`, `INSERT INTO audit.run SELECT * FROM saved s WHERE NOT EXISTS (SELECT FROM audit.run r WHERE r.epoch = s.epoch AND r.first_n = s.first_n)`, "missing"},
		"last ones":     {`DELETE FROM audit.run WHERE gateway = 'gw1' AND epoch = 2 AND last_n > 90; DELETE FROM audit.call WHERE gateway = 'gw1' AND epoch = 2 AND n > 90`, `INSERT INTO audit.call SELECT * FROM rows WHERE gateway = 'gw1' AND epoch = 2 AND n > 90; INSERT INTO audit.run SELECT * FROM saved s WHERE epoch = 2 AND last_n > 90`, "missing"},
		"last epoch":    {`DELETE FROM audit.run WHERE gateway = 'gw1' AND epoch = 2`, `INSERT INTO audit.run SELECT * FROM saved s WHERE epoch = 2`, "missing"},
		"epoch unknown": {`DELETE FROM audit.source WHERE gateway = 'gw1' AND epoch = 2`, `INSERT INTO audit.source (gateway, epoch, last_n) VALUES ('gw1', 2, 100)`, "unknown_epoch"},
		"chain cut":     {`UPDATE audit.run SET prev_hash = sha256('x') WHERE epoch = 2 AND first_n = 1`, `UPDATE audit.run r SET prev_hash = s.prev_hash FROM saved s WHERE r.epoch = 2 AND r.first_n = 1 AND s.epoch = 2 AND s.first_n = 1`, "not_linked"},
		"epoch swapped": {`UPDATE audit.run SET hash = sha256('y') WHERE epoch = 1`, `UPDATE audit.run r SET hash = s.hash FROM saved s WHERE r.epoch = 1 AND s.epoch = 1`, "not_linked"},
	} {
		exec(t, w.url, `CREATE TABLE IF NOT EXISTS saved AS SELECT * FROM audit.run WHERE gateway = 'gw1'; CREATE TABLE IF NOT EXISTS rows AS SELECT * FROM audit.call`)
		exec(t, w.url, c.spoil)
		v := verified(t, in, "gateway=gw1")
		if v.OK || !slices.ContainsFunc(v.Faults, func(f reading.Fault) bool { return f.What == c.what }) {
			t.Errorf("%s: %+v", name, v.Faults)
		}
		exec(t, w.url, c.mend)
		if v := verified(t, in, "gateway=gw1"); !v.OK {
			t.Fatalf("%s is mended: %+v", name, v.Faults)
		}
	}
	// What retention may have removed is no fault, what it cannot have is one.
	exec(t, w.url, `INSERT INTO audit.retention_run (began, asked_by, request_id, client_ip, max_days, max_entries, before, up_to, records)
		VALUES (now(), '', '', '', 1, 0, '2026-01-02T03:00:00.010Z', 0, 5)`)
	exec(t, w.url, `DELETE FROM audit.run WHERE epoch = 2 AND first_n IN (1, 51)`)
	v = verified(t, in, "gateway=gw1")
	if v.OK || len(v.Faults) != 1 || v.Faults[0].First != 51 || len(v.Removed) != 1 || v.Removed[0].Last != 5 {
		t.Errorf("faults %+v, removed %+v", v.Faults, v.Removed)
	}
	for query, names := range map[string]string{"cursor=x": "cursor", "epoch=1": "epoch", "gateway=a&gateway=b": "gateway"} {
		if status, body := in.ask(t, http.MethodGet, adminToken, "verify?"+query, ""); status != http.StatusBadRequest || !strings.Contains(body, names) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
