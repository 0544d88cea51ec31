package suite_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/postgres"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

var chaosFor = flag.Duration("chaos", 16*time.Second, "how long TestKillAnything kills")

const (
	chaosRate  = 300             // calls a second
	chaosPause = 2 * time.Second // between kills
)

var killed = []string{"gateway", "nats", "audit", "postgres", "introspection", "config"}

// TestKillAnything calls through the gateway while one process after the other is ended by kill -9, and then holds the
// trail against what the callers and the node saw: every call that was answered or forwarded is there once.
func TestKillAnything(t *testing.T) {
	t.Parallel()
	db := startDatabase(t)
	s := startSplit(t, db.url)
	n := newWitness(t)
	s.configure(func(document map[string]any) {
		jiraSite(document)["nodes"] = []any{map[string]any{"id": "n1", "url": n.url}}
	})
	token, err := s.lab.Provider.MintToken(t.Context(), lab.TokenSpec{ClientID: lab.ClientID, Scopes: []string{"read", "write"}})
	if err != nil {
		t.Fatal(err)
	}
	s.try(http.MethodGet, "http://"+s.gateway+"/rest/api/2/myself", token, "", "", status(http.StatusOK))
	c := &callers{url: "http://" + s.gateway, token: token, answered: map[string]int{}}
	calling, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var all sync.WaitGroup
	all.Go(func() { c.call(calling) })
	kills := s.killInTurn(db)
	hangUp()
	all.Wait()
	ended := time.Now()
	seen := n.all()
	rows := db.await(t, c.answered, seen)
	t.Logf("%d calls, %d answered (%s), %d at the node, %d without an answer; killed %v; all in the trail %s after the last call",
		c.made, len(c.answered), c.statuses(), len(seen), c.failed, kills, time.Since(ended).Round(time.Millisecond))
	for _, part := range killed {
		if kills[part] == 0 {
			t.Errorf("%s was never killed", part)
		}
	}
	if len(c.answered) < c.made/4 || len(seen) < c.made/8 {
		t.Errorf("of %d calls %d were answered and %d came to the node", c.made, len(c.answered), len(seen))
	}
	reasons := map[string]int{}
	for id, row := range rows {
		if status, there := c.answered[id]; there && row.outcome != "interrupted" && row.status != status {
			t.Errorf("%s was answered %d, and the trail has %+v", id, status, row)
		}
		reasons[row.reason]++
		if seen[id] > 0 && row.decision == "deny" {
			t.Errorf("the node saw %s %d times, and the trail has %+v", id, seen[id], row)
		}
	}
	t.Logf("calls by reason: %v", reasons)
	db.wantExact(t)
	s.wantChains(len(rows))
}

// wantChains has the audit service recompute the hash chains of all records, from the first one of all.
func (s *split) wantChains(atLeast int) {
	s.t.Helper()
	records, heads := 0, 0
	for cursor := ""; ; {
		var v struct {
			OK      bool
			Records int
			Faults  []any
			Removed []any
			Heads   []any
			Next    string
		}
		_, body := s.try(http.MethodGet, "http://"+s.admin+"/api/v1/audit/verify?cursor="+cursor, splitAdmin, "", "", status(http.StatusOK))
		if err := json.Unmarshal([]byte(body), &v); err != nil || !v.OK || len(v.Removed) > 0 {
			s.t.Fatalf("the chains are not whole: %v %s", err, body)
		}
		records, heads = records+v.Records, heads+len(v.Heads)
		if cursor = v.Next; cursor == "" {
			break
		}
	}
	if records < atLeast {
		s.t.Errorf("%d of %d records are verified", records, atLeast)
	}
	s.t.Logf("%d records in %d chains are verified", records, heads)
}

// killInTurn kills one after the other and starts it again, each once at least; then all run. It tells how often
// each was killed.
func (s *split) killInTurn(db *database) map[string]int {
	ctx, cancel := context.WithTimeout(s.t.Context(), *chaosFor)
	defer cancel()
	kills := map[string]int{}
	turns := slices.Clone(killed)
	for i := 0; ctx.Err() == nil || i < len(turns); i++ {
		if i%len(turns) == 0 {
			rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		}
		who := turns[i%len(turns)]
		switch who {
		case "postgres":
			db.kill(s.t)
		case "nats":
			s.killNATS(i)
		default:
			s.processes[who].kill()
			pause(s.t.Context(), rand.N(chaosPause/4))
			if err := s.processes[who].start(); err != nil {
				s.t.Errorf("%s: %v", who, err)
			}
		}
		kills[who]++
		pause(s.t.Context(), chaosPause/2+rand.N(chaosPause))
	}
	return kills
}

// killNATS kills one server of the cluster, and every third time all of them.
func (s *split) killNATS(turn int) {
	down := []int{rand.IntN(s.nats.Size())}
	if turn/len(killed)%3 == 1 {
		down = []int{0, 1, 2}
	}
	for _, i := range down {
		s.nats.Kill(i)
	}
	for _, i := range down {
		s.nats.Start(s.t, i)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// witness is a node that remembers which calls came to it.
type witness struct {
	url  string
	mu   sync.Mutex
	seen map[string]int
}

func newWitness(t testing.TB) *witness {
	n := &witness{seen: map[string]int{}}
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	n.url = server.URL
	return n
}

func (n *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id := r.Header.Get("X-Gatehouse-Request-Id"); id != "" {
		n.mu.Lock()
		n.seen[id]++
		n.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-AUSERNAME", "svc-api")
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
		pause(r.Context(), time.Duration(ms)*time.Millisecond)
	}
	_, _ = io.WriteString(w, `{"state":"RUNNING"}`)
}

func (n *witness) all() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.seen)
}

// callers call at a steady rate, whatever comes back.
type callers struct {
	url, token string

	made     int
	mu       sync.Mutex
	answered map[string]int // status by request id
	failed   int
}

// call calls until ctx ends, and returns when the last call has.
func (c *callers) call(ctx context.Context) {
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second / chaosRate)
	defer tick.Stop()
	var running sync.WaitGroup
	slots := make(chan struct{}, 2000) // bounds what waits while nothing answers
	for ctx.Err() == nil {
		<-tick.C
		slots <- struct{}{}
		c.made++
		of := c.made
		running.Go(func() {
			defer func() { <-slots }()
			c.one(client, of) //nolint:contextcheck // a call ends by itself
		})
	}
	running.Wait()
}

// one makes the n-th call: some are refused, some have a body, some take so long that they are recorded while they run.
func (c *callers) one(client *http.Client, n int) {
	method, path, token, body := http.MethodGet, "/rest/api/2/myself", c.token, ""
	switch n % 20 {
	case 1, 2:
		token = "wrong-" + strconv.Itoa(n%50)
	case 3:
		path = "/rest/api/2/..;/myself"
	case 4, 5:
		method, path, body = http.MethodPost, "/rest/api/2/issue", strings.Repeat("x", 3000)
	case 6:
		path += "?ms=" + strconv.Itoa(1000+n%3000)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		panic(err) // it is the same every time
	}
	request.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(request)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // it may be cut: the call was answered
		_ = resp.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		return
	}
	c.answered[resp.Header.Get("X-Gatehouse-Request-Id")] = resp.StatusCode
}

// statuses tells how many answers had which status.
func (c *callers) statuses() string {
	counts := map[int]int{}
	for _, status := range c.answered {
		counts[status]++
	}
	var all []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%d: %d", status, counts[status]))
	}
	return strings.Join(all, ", ")
}

// database is a server of a test's own, that may be killed: its supervisor starts it again.
type database struct {
	dir, url string
}

func startDatabase(t testing.TB) *database {
	t.Helper()
	dir := filepath.Join(testkit.OpenDir(t), "postgres")
	server, err := postgres.StartPrivate(t.Context(), testkit.Logger(t), postgres.PrivateSettings{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return &database{dir: dir, url: server.URL()}
}

// kill ends the postmaster as kill -9 does.
func (d *database) kill(t testing.TB) {
	file := filepath.Join(d.dir, "data", "postmaster.pid")
	testkit.Until(t, "a postmaster", func() bool {
		text, err := os.ReadFile(file)
		first, _, _ := strings.Cut(string(text), "\n")
		pid, perr := strconv.Atoi(first)
		if command, err := os.ReadFile("/proc/" + first + "/cmdline"); err == nil && !strings.Contains(string(command), d.dir) {
			return false // the number of a dead one, given to another process
		}
		return err == nil && perr == nil && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
}

// recordedCall is what the trail has of a call.
type recordedCall struct {
	status                    int
	decision, reason, outcome string
}

// await waits until the trail has all of these calls with their outcome, and gives those it has.
func (d *database) await(t testing.TB, wanted ...map[string]int) map[string]recordedCall {
	t.Helper()
	var rows map[string]recordedCall
	var missing []string
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		var err error
		if rows, err = d.calls(t); err == nil {
			missing = missing[:0]
			for _, ids := range wanted {
				for id := range ids {
					if row, there := rows[id]; !there || row.outcome == "open" {
						missing = append(missing, id)
					}
				}
			}
			if len(missing) == 0 {
				return rows
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls are missing, such as %q: %v", len(missing), missing[:min(3, len(missing))], err)
		}
	}
}

// calls reads all calls of the trail; one that is there twice fails the test.
func (d *database) calls(t testing.TB) (map[string]recordedCall, error) {
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `SELECT request_id, status, decision, reason || ' ' || detail, outcome FROM audit.events`)
	if err != nil {
		return nil, err
	}
	all := map[string]recordedCall{}
	var id string
	var c recordedCall
	_, err = pgx.ForEachRow(rows, []any{&id, &c.status, &c.decision, &c.reason, &c.outcome}, func() error {
		if before, twice := all[id]; twice {
			t.Errorf("%s is there twice: %+v and %+v", id, before, c)
		}
		all[id] = c
		return nil
	})
	return all, err
}

// wantExact makes sure that nothing was lost, refused or found to be forged on the way.
func (d *database) wantExact(t testing.TB) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for what, sql := range map[string]string{
		"holes":               `SELECT count(*) FROM audit.hole`,
		"rejected messages":   `SELECT count(*) FROM audit.rejected`,
		"conflicts":           `SELECT count(*) FROM audit.conflict`,
		"ids given, not used": `SELECT (SELECT last_id FROM audit.head) - count(*) FROM audit.call`,
		"epochs without a start": `SELECT count(*) FROM audit.source s WHERE gateway = 'g1' AND NOT EXISTS (
			SELECT FROM audit.actions a WHERE a.source = s.gateway AND a.epoch = s.epoch AND a.kind = 'gateway.started')`,
	} {
		var n int
		if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d %s: %v", n, what, err)
		}
	}
}
