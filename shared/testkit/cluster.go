package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// Cluster is three real nats-server processes of one test, with every stream made on all three, every
// service's rights enforced, and fsync before every acknowledgement: what users run.
type Cluster struct {
	dir     string
	program string
	nodes   []*clusterNode
	secret  string                      // of the routes between the servers
	seeds   map[topology.Service]string // files
}

// clusterNode is one server; between Kill and Start it has no process.
type clusterNode struct {
	name    string
	address string // for clients
	route   string // address for the other servers
	config  string // file
	cmd     *exec.Cmd
	ended   <-chan struct{} // closed once cmd has ended
}

// StartCluster runs a cluster until the test ends. The servers die with the test's process, however it ends.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{dir: t.TempDir(), program: natsServer(t), seeds: map[topology.Service]string{}}
	public := map[topology.Service]string{}
	for _, s := range users() {
		public[s], c.seeds[s] = seed(t, string(s))
	}
	var routes []string
	for i := range 3 {
		n := &clusterNode{name: fmt.Sprintf("n%d", i), address: FreeAddress(t), route: FreeAddress(t)}
		n.config = filepath.Join(c.dir, n.name+".conf")
		c.nodes, routes = append(c.nodes, n), append(routes, n.route)
	}
	c.secret = rand.Text()
	shared := topology.RoutesConf(c.secret, routes) + "}\n" + topology.ServerConf(public)
	for _, n := range c.nodes {
		if err := os.WriteFile(n.config, []byte(clusterConfig(n, filepath.Join(c.dir, n.name), shared)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for i, n := range c.nodes {
			c.Kill(i)
			if t.Failed() {
				t.Logf("the last lines of %s:\n%s", n.name, tail(n.config+".log", 4<<10))
			}
		}
	})
	for i := range c.nodes {
		c.Start(t, i)
	}
	c.ensure(t)
	return c
}

// ensure makes the streams once the servers have found each other.
func (c *Cluster) ensure(t testing.TB) {
	t.Helper()
	js := c.JetStream(t, topology.Config)
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err = topology.Ensure(ctx, js, topology.Limits{Replicas: 3, AuditBytes: 64 << 20})
		cancel()
		if err == nil {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal(err)
}

// Size is the number of servers, running or not.
func (c *Cluster) Size() int { return len(c.nodes) }

// Kill ends a server as kill -9 does, if it runs.
func (c *Cluster) Kill(i int) {
	n := c.nodes[i]
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	<-n.ended
	n.cmd = nil
}

// Pause stops a server in the middle of whatever it does, as a stalled disk or a frozen virtual machine would:
// its connections stay open. It goes on where it was once Resume is called.
func (c *Cluster) Pause(t testing.TB, i int) { c.signal(t, i, syscall.SIGSTOP) }

// Resume ends a Pause.
func (c *Cluster) Resume(t testing.TB, i int) { c.signal(t, i, syscall.SIGCONT) }

func (c *Cluster) signal(t testing.TB, i int, s os.Signal) {
	t.Helper()
	if err := c.nodes[i].cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Start runs a server again on what it had stored, and returns when it takes connections.
func (c *Cluster) Start(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	log, err := os.OpenFile(n.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	n.cmd = exec.Command(c.program, "-c", n.config) //nolint:gosec,noctx // built by us; ended by Kill
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if n.ended, err = StartChild(n.cmd); err != nil {
		n.cmd = nil
		t.Fatal(err)
	}
	dialer := net.Dialer{Timeout: time.Second}
	for deadline := time.After(20 * time.Second); ; {
		conn, err := dialer.DialContext(t.Context(), "tcp", n.address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-n.ended:
			t.Fatalf("%s ended:\n%s", n.name, tail(n.config+".log", 2<<10))
		case <-deadline:
			t.Fatalf("%s takes no connections: %v", n.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Leader gives the number of the server that leads a stream, or an error while there is none.
func (c *Cluster) Leader(ctx context.Context, js jetstream.JetStream, stream string) (int, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	if info := s.CachedInfo(); info.Cluster != nil {
		for i, n := range c.nodes {
			if n.name == info.Cluster.Leader {
				return i, nil
			}
		}
	}
	return 0, errors.New("stream " + stream + " has no leader")
}

// Settle waits until a stream has a leader and all others follow it closely.
func (c *Cluster) Settle(t testing.TB, js jetstream.JetStream, stream string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := js.Stream(ctx, stream)
		cancel()
		if err == nil && settledGroup(s.CachedInfo().Cluster, len(c.nodes)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stream %s does not settle: %s", stream, describe(s, err))
		}
	}
}

func describe(s jetstream.Stream, err error) string {
	if err != nil || s.CachedInfo().Cluster == nil {
		return fmt.Sprint(err)
	}
	text := "leader " + s.CachedInfo().Cluster.Leader
	for _, r := range s.CachedInfo().Cluster.Replicas {
		text += fmt.Sprintf(", %+v", *r)
	}
	return text
}

func settledGroup(info *jetstream.ClusterInfo, size int) bool {
	if info == nil || info.Leader == "" {
		return false
	}
	for _, r := range info.Replicas {
		if !r.Current || r.Offline || r.Lag > 100 {
			return false
		}
	}
	return len(info.Replicas) == size-1
}

// URLs are the servers' addresses, separated by commas.
func (c *Cluster) URLs() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, "nats://"+n.address)
	}
	return strings.Join(urls, ",")
}

// Settings say how a service connects to this cluster.
func (c *Cluster) Settings(s topology.Service) bus.Settings {
	return bus.Settings{URL: c.URLs(), SeedFile: c.seeds[s]}
}

// Connect gives a connection with the rights of a service, closed when the test ends.
func (c *Cluster) Connect(t testing.TB, s topology.Service) *nats.Conn {
	t.Helper()
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), Logger(t), s, c.Settings(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// JetStream gives a JetStream context with the rights of a service.
func (c *Cluster) JetStream(t testing.TB, s topology.Service) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// clusterConfig is a nats.conf as users have it: with the rights of topology, and routes that need a secret.
func clusterConfig(n *clusterNode, store, shared string) string {
	return fmt.Sprintf(`
server_name: %s
listen: %q
max_payload: 1048576
jetstream: {store_dir: %q, sync_interval: always, max_mem: 256MB, max_file: 2GB}
cluster { name: gatehouse, listen: %q
%s`, n.name, n.address, store, n.route, shared)
}

// natsServer gives the program, built once from the module that the embedded server is of.
func natsServer(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "gatehouse", "nats-server-v"+server.VERSION)
	program := filepath.Join(dir, "nats-server")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("%s.%d", program, os.Getpid())                                                        // several test processes may build at once
	build := exec.CommandContext(t.Context(), "go", "build", "-o", own, "github.com/nats-io/nats-server/v2") //nolint:gosec // our own cache
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	if err := os.Rename(own, program); err != nil {
		t.Fatal(err)
	}
	return program
}

func tail(file string, n int) []byte {
	b, err := os.ReadFile(file) //nolint:gosec // our own log
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-n):]
}
