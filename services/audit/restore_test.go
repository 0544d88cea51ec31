package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/services/config"
)

// admin is a running config service.
type admin struct {
	base string
	keys string
	stop func()
}

// startConfig runs config on the NATS server of a world until the test ends; keys is its keys folder, none: a new one.
func (w *world) startConfig(t testing.TB, keys ...string) *admin {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &admin{base: "http://" + listener.Addr().String() + "/api/v1/config"}
	if len(keys) > 0 {
		a.keys = keys[0]
	} else {
		a.keys = t.TempDir()
		if err := secret.Init(a.keys); err != nil {
			t.Fatal(err)
		}
	}
	s := config.Settings{
		Settings: w.nats.Settings(topology.Config), Listener: listener, AdminToken: adminauth.Hash(adminToken), KeysDir: a.keys,
		LogCheck: 50 * time.Millisecond, Retry: 50 * time.Millisecond, GatewayListEvery: 50 * time.Millisecond, GatewayHearing: 50 * time.Millisecond,
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- config.Run(ctx, service.NewProcess(testkit.Logger(t), nil).Host("config", ""), s) }()
	stopped := false
	a.stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			t.Errorf("config: %v", err)
		}
	}
	t.Cleanup(a.stop)
	await(t, "config is there", func() bool { status, _, _ := a.ask(t, http.MethodGet, ""); return status == http.StatusOK })
	return a
}

// ask makes a request of the document, tokens one of the API tokens.
func (a *admin) ask(t testing.TB, method, body string) (status int, etag, answer string) {
	t.Helper()
	return a.of(t, method, a.base, body)
}

func (a *admin) tokens(t testing.TB, method, body string) (status int, etag, answer string) {
	t.Helper()
	return a.of(t, method, strings.TrimSuffix(a.base, "config")+"tokens", body)
}

func (a *admin) of(t testing.TB, method, url, body string) (status int, etag, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("If-Match", "*")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, got.Header.Get("ETag"), string(text)
}

func (a *admin) put(t testing.TB, document string) eventlog.State {
	t.Helper()
	status, etag, answer := a.ask(t, http.MethodPut, document)
	at, err := eventlog.ParseState(strings.Trim(etag, `"`))
	if status != http.StatusOK || err != nil {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	return at
}

func (a *admin) version(t testing.TB) uint64 {
	t.Helper()
	_, etag, _ := a.ask(t, http.MethodGet, "")
	at, _ := eventlog.ParseState(strings.Trim(etag, `"`))
	return at.Seq
}

// document has a site with both kinds of secret, and says how many requests it allows.
func document(requests int, provider, account string) string {
	return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],"rate_limit":{"requests":%d},
		"providers":[{"id":"corp","introspection_endpoint":"https://sso.example.com/introspect","client_id":"gatehouse",
			"client_secret":{"value":%q},"required_scopes":["read"],"service_account":"svc-api"}],
		"upstream":{"accounts":{"svc-api":{"value":%q}}}}]}`, requests, provider, account)
}

// follow follows the log as a gateway does that has a Snapshot, until the test ends.
func (w *world) follow(t testing.TB, has *configlog.Snapshot) *configlog.Follower {
	t.Helper()
	log := eventlog.New(w.nats.JetStream(t, topology.Gateway), topology.ConfigLog(), eventlog.Options{Check: 50 * time.Millisecond})
	f := configlog.NewFollower(testkit.Logger(t), log, configlog.Options{Start: has})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { f.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

// TestRestoreFromPostgres does what the runbook says, with its own words: what was lost is there again, with the
// sequence and the hash it had.
func TestRestoreFromPostgres(t *testing.T) {
	t.Parallel()
	old := newWorld(t)
	in, admin := old.start(t), old.startConfig(t)
	admin.put(t, document(10, "first secret", "first-token"))
	admin.put(t, document(20, "second secret", "first-token"))
	at := admin.put(t, document(30, "second secret", "second-token"))
	_, etag, want := admin.ask(t, http.MethodGet, "")
	before, err := old.follow(t, nil).AtLeast(t.Context(), at.Seq)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if status, _, answer := admin.tokens(t, http.MethodPost, `{"name":"`+name+`","owner":"svc-api","site":"jira"}`); status != http.StatusCreated {
			t.Fatal(status, answer)
		}
	}
	_, _, tokens := admin.tokens(t, http.MethodGet, "")
	old.awaitCopied(t, at)
	old.awaitCommits(t, 3)
	await(t, "the tokens are copied", func() bool { return row[int](t, old.url, `SELECT count(*) FROM audit.token_restore`) == 2 })
	in.stop()
	admin.stop()
	old.nats.Stop() // and never comes back

	w := &world{nats: testkit.StartNATS(t), url: old.url}
	w.gateway = w.nats.JetStream(t, topology.Gateway)
	gateway := w.follow(t, before) // it holds on to what it has
	check, restore := fromRunbook(t)
	if out := w.shell(t, check); out != "t\n"+at.String()+"\n" {
		t.Errorf("the copy is whole: %s", out)
	}
	w.shell(t, restore)

	admin = w.startConfig(t, admin.keys)
	if _, tag, got := admin.ask(t, http.MethodGet, ""); tag != etag || got != want {
		t.Errorf("config gives %s %s\nnot %s %s", tag, got, etag, want)
	}
	await(t, "the tokens are there", func() bool { _, _, again := admin.tokens(t, http.MethodGet, ""); return again == tokens })
	await(t, "the gateway has heard the log", func() bool { s := gateway.Status(); return !s.HeardAt.IsZero() && s.Trouble == "" })
	w.wantOpen(t, admin.keys, before)
	next := admin.put(t, document(40, "second secret", "second-token"))
	if next.Seq != at.Seq+1 {
		t.Errorf("goes on at %d", next.Seq)
	}
	if _, err := gateway.AtLeast(t.Context(), next.Seq); err != nil {
		t.Error(err)
	}
	w.start(t)
	w.awaitCopied(t, next)
	w.awaitCommits(t, 4)
	w.wantChained(t)
}

// wantOpen makes sure that the secrets of a configuration open, each for its owner.
func (w *world) wantOpen(t testing.TB, keys string, s *configlog.Snapshot) {
	t.Helper()
	site := s.Config.Sites[0]
	for owner, c := range map[secret.Owner]struct {
		named configlog.Secret
		want  string
	}{
		secret.Introspection: {site.Providers[0].ClientSecret, "second secret"},
		secret.Gateway:       {site.Upstream.Accounts["svc-api"], "second-token"},
	} {
		identity, err := secret.ReadIdentity(secret.IdentityFile(keys, owner))
		if err != nil {
			t.Fatal(err)
		}
		service := map[secret.Owner]topology.Service{secret.Introspection: topology.Introspection, secret.Gateway: topology.Gateway}[owner]
		got, err := secret.NewOpener(w.nats.JetStream(t, service), identity, nil, "").Open(t.Context(), c.named)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", owner, got, err)
		}
	}
}

// TestRestoreRefusesWhatIsThere: nothing is appended to a log that is not empty.
func TestRestoreRefusesWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	c := w.writer(t)
	c.some(2, "there")
	w.awaitCopied(t, c.at)
	_, restore := fromRunbook(t)
	cmd := w.command(t, restore)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "wrong last sequence") {
		t.Errorf("%v: %s", err, out)
	}
}

// fromRunbook gives the commands by which the copy is looked at, and those by which it is restored.
func fromRunbook(t testing.TB) (check, restore string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### Restore the configuration from Postgres\n")
	blocks := strings.Split(section, "```")
	if len(blocks) < 5 {
		t.Fatal("the runbook has no commands")
	}
	return strings.TrimPrefix(blocks[1], "sh"), strings.TrimPrefix(blocks[3], "sh")
}

// command is a script for a shell that has psql and, as nats, the test's own binary.
func (w *world) command(t testing.TB, script string) *osexec.Cmd {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "nats")); err != nil {
		t.Fatal(err)
	}
	s := w.nats.Remote(topology.Config)
	cmd := osexec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{
		asClient + "=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "DATABASE_URL=" + w.url, "NATS_URL=" + s.URL, "NATS_NKEY=" + s.SeedFile, "HOME=" + dir, //nolint:forbidigo // for its children
	}
	return cmd
}

func (w *world) shell(t testing.TB, script string) string {
	t.Helper()
	cmd := w.command(t, script)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%v: %s%s", err, out, errs.String())
	}
	return string(out)
}

// asClient is the variable that makes the test's binary do what the command line tool of NATS does with the arguments
// that the runbook has, so that the procedure is tested where that tool is not installed.
const asClient = "GATEHOUSE_TEST_AS_NATS_CLIENT"

// natsPub publishes standard input as one message and looks at the answer of the stream.
func natsPub(args []string) error {
	msg, prefix := &nats.Msg{Header: nats.Header{}}, ""
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--inbox-prefix":
			i++
			prefix = args[i]
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ":")
			msg.Header.Set(name, value)
		case "pub", "-q", "--jetstream", "--no-templates", "--force-stdin":
		default:
			msg.Subject = args[i]
		}
	}
	var err error
	if msg.Data, err = io.ReadAll(os.Stdin); err != nil {
		return err
	}
	key, err := nats.NkeyOptionFromSeed(os.Getenv("NATS_NKEY")) //nolint:forbidigo // as that tool does
	if err != nil {
		return err
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"), key, nats.CustomInboxPrefix(prefix)) //nolint:forbidigo // as that tool does
	if err != nil {
		return err
	}
	defer nc.Close()
	reply, err := nc.RequestMsg(msg, 5*time.Second)
	if err != nil {
		return err
	}
	var ack struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return err
	}
	if ack.Error != nil {
		return fmt.Errorf("%s", ack.Error.Description)
	}
	return nil
}
