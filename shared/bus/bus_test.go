package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/broker"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/settings"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[bus.Settings]([]string{"GATEHOUSE_NATS_URL=nats://a,nats://b", "GATEHOUSE_NATS_SEED_FILE=x.nk", "GATEHOUSE_NATS_CA_FILE=ca.pem"})
	if want := (bus.Settings{URL: "nats://a,nats://b", SeedFile: "x.nk", CAFile: "ca.pem"}); err != nil || s != want {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestWhatIsWrongInSettingsIsNamed(t *testing.T) {
	t.Parallel()
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]bus.Settings{
		"GATEHOUSE_NATS_URL": {},
		"/no/such/seed":      {URL: "nats://127.0.0.1:1", SeedFile: "/no/such/seed"},
		junk:                 {URL: "nats://127.0.0.1:1", SeedFile: junk},
		"/no/such/ca":        {URL: "nats://127.0.0.1:1", CAFile: "/no/such/ca"},
		"connect to NATS":    {URL: "nats://127.0.0.1:port"},
	} {
		nc, err := bus.Connect(t.Context(), testkit.Logger(t), topology.Gateway, s)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", want, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

// watched is a log in which a test can look.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *watched) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.buf.String(), what)
}

// connect connects as a gateway.
func connect(t testing.TB, s bus.Settings) (*nats.Conn, *watched) {
	t.Helper()
	w := new(watched)
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), slog.New(slog.NewTextHandler(w, nil)), topology.Gateway, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, w
}

// becomes waits until a connection has a status.
func becomes(t testing.TB, nc *nats.Conn, want nats.Status) {
	t.Helper()
	changes := nc.StatusChanged(want)
	defer nc.RemoveStatusListener(changes)
	deadline := time.After(10 * time.Second)
	for nc.Status() != want {
		select {
		case <-changes:
		case <-deadline:
			t.Fatalf("still %s, want %s", nc.Status(), want)
		}
	}
}

func TestNATSMayStartLater(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	n.Stop()
	for name, s := range map[string]bus.Settings{"by URL": n.Remote(topology.Gateway), "in process": n.Settings(topology.Gateway)} {
		began := time.Now()
		nc, log := connect(t, s)
		if took := time.Since(began); took > time.Second || nc.Status() != nats.RECONNECTING {
			t.Errorf("%s: %s after %s", name, nc.Status(), took)
		}
		t.Cleanup(func() {
			if becomes(t, nc, nats.CONNECTED); log.count("not reached") > 3 {
				t.Errorf("%s: says so again and again", name)
			}
		})
	}
	n.Start(t)
}

func TestReplySubjectsOfOneConnectionTellNothingOfAnothers(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	seen := map[string]bool{}
	for range 2 {
		inbox := n.Connect(t, topology.Gateway).NewInbox()
		parts := strings.Split(inbox, ".")
		if len(parts) != 3 || parts[0] != topology.Inbox(topology.Gateway) || len(parts[1]) < 26 || seen[parts[1]] { // 128 bits in base 32
			t.Errorf("inbox %s", inbox)
		}
		seen[parts[1]] = true
	}
}

func TestNothingIsBufferedWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	heard, err := n.Connect(t, topology.Config).SubscribeSync(topology.GatewayBeat("*"))
	if err != nil {
		t.Fatal(err)
	}
	nc, log := connect(t, n.Remote(topology.Gateway))
	n.Stop()
	becomes(t, nc, nats.RECONNECTING)
	if err := nc.Publish(topology.GatewayBeat("old"), nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("published while NATS is away: %v", err)
	}
	n.Start(t)
	becomes(t, nc, nats.CONNECTED)
	testkit.Until(t, "the hearer to be back too", func() bool {
		if err := errors.Join(nc.Publish(topology.GatewayBeat("new"), nil), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		m, err := heard.NextMsg(50 * time.Millisecond)
		if err == nil && m.Subject != topology.GatewayBeat("new") {
			t.Fatalf("heard %s", m.Subject)
		}
		return err == nil
	})
	testkit.Until(t, "the log to say so", func() bool { return log.count("connected to NATS") == 2 }) // handlers run behind the connection
	if log.count("trouble=disconnected") != 1 {
		t.Errorf("log: %s", log.buf.String())
	}
}

// TestAKeyThatIsRefusedIsTriedOn starts a server that has not been told of a gateway's key yet.
func TestAKeyThatIsRefusedIsTriedOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users, err := bus.InitSeeds(dir, "g1")
	if err != nil {
		t.Fatal(err)
	}
	one := topology.GatewayUser("g1")
	gateway := users[one]
	delete(users, one)
	s := broker.Settings{Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "store"), Users: users, Lax: true}
	b, err := broker.Start(testkit.Logger(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Stop() })
	s.Listen = b.Addr().String()
	url := bus.Settings{URL: "nats://" + s.Listen, SeedFile: bus.SeedFile(dir, one)}
	nc, log := connect(t, url)
	testkit.Until(t, "refused again and again", func() bool { return nc.Stats().Reconnects >= 5 || nc.IsClosed() })
	if n := log.count("uthorization"); nc.IsClosed() || n < 1 || n > 2 {
		t.Fatalf("%s, log: %s", nc.Status(), log.buf.String())
	}
	b.Stop()
	s.Users[one] = gateway
	if b, err = broker.Start(testkit.Logger(t), s); err != nil {
		t.Fatal(err)
	}
	becomes(t, nc, nats.CONNECTED)
}

func TestARefusalOfRightsIsLoggedOnce(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	nc, log := connect(t, n.Remote(topology.Gateway))
	for range 5 {
		if err := errors.Join(nc.Publish(topology.ConfigLog().Subject, nil), nc.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Until(t, "a line in the log", func() bool { return log.count("Permissions Violation") > 0 })
	if log.count(topology.ConfigLog().Subject) != 1 {
		t.Fatalf("log: %s", log.buf.String())
	}
}

// hole is a way to a server that swallows everything once it is told to, as a cable that was pulled.
type hole struct {
	net.Listener
	pulled chan struct{}
}

func dig(t *testing.T, to string) *hole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l, pulled: make(chan struct{})}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	pump := func(from, to net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			select {
			case <-h.pulled:
				return // nothing is read any more, nothing is closed
			default:
			}
			if err != nil {
				_ = to.Close()
				return
			}
			_, _ = to.Write(buf[:n])
		}
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			select {
			case <-h.pulled:
				continue
			default:
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, far)
			mu.Unlock()
			all.Go(func() { pump(c, far) })
			all.Go(func() { pump(far, c) })
		}
	})
	return h
}

func TestADeadPeerIsNoticed(t *testing.T) {
	t.Parallel()
	for name, publish := range map[string]bool{"silent": false, "in the middle of a flood": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := testkit.StartNATS(t)
			way := dig(t, strings.TrimPrefix(n.Remote(topology.Gateway).URL, "nats://"))
			s := n.Remote(topology.Gateway)
			s.URL = "nats://" + way.Addr().String()
			nc, _ := connect(t, s)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer stop()
			if publish {
				all.Go(func() {
					for body := make([]byte, 512<<10); ctx.Err() == nil; {
						_ = nc.Publish(topology.GatewayBeat("x"), body)
					}
				})
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			close(way.pulled)
			began := time.Now()
			becomes(t, nc, nats.RECONNECTING)
			if took := time.Since(began); took > 6*time.Second {
				t.Fatalf("noticed after %s", took)
			} else {
				t.Logf("noticed after %s", took)
			}
		})
	}
}
