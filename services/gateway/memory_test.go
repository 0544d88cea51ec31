package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// alone tells a process that is nothing but a gateway where everything is.
type alone struct {
	NATS      bus.Settings
	Keys, Dir string
	Listen    string
}

// gatewayRole makes this test binary that process.
const gatewayRole = "GATEHOUSE_TEST_GATEWAY"

// gatewayProcess runs a gateway until it is told to end, as its own process so that its memory is the gateway's alone.
func gatewayProcess(settings string) {
	var a alone
	if err := json.Unmarshal([]byte(settings), &a); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	host := service.NewProcess(slog.New(slog.DiscardHandler), nil).Host("gateway", "")
	if err := gateway.Run(ctx, host, gateway.Settings{
		Settings: a.NATS, DataDir: a.Dir, KeysDir: a.Keys, Listen: a.Listen, IdentityTimeout: 3 * time.Second,
		IdentityCache: 100_000, AuditSpool: 1 << 30, ReplyTimeout: 5 * time.Minute, ShutdownGrace: 5 * time.Second, BodyTimeout: 2 * time.Minute,
	}); err != nil {
		panic(err)
	}
}

// TestSlowClientsTakeNoMemory: 200 clients that send or fetch 4 MiB at 64 KiB a second, beside a gibibyte up and one down at
// full speed, while the configuration changes.
func TestSlowClientsTakeNoMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	listen := testkit.FreeAddress(t)
	settings, err := json.Marshal(alone{NATS: w.nats.Remote(topology.Gateway), Keys: w.keys, Dir: t.TempDir(), Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), gatewayRole+"="+string(settings)) //nolint:forbidigo // the other process is this one again
	cmd.Stderr = os.Stderr
	ended, err := testkit.StartChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); <-ended })
	gw := &running{url: "http://" + listen}
	testkit.Until(t, "the gateway to serve", func() bool {
		resp, err := http.Get(gw.url + "/rest/gatehouse/1.0/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.Header.Get("X-Gatehouse-Config-Version") != ""
	})
	began := peak(t, cmd.Process.Pid)
	token := "Bearer " + w.token()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10}}
	up := func(size, rate int64) error {
		r := request(t, http.MethodPost, gw.url+echo, &paced{left: size, rate: rate}, "Authorization", token, "Content-Type", "application/octet-stream")
		r.ContentLength = size
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var e echoed
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.BodyLength != size || e.User != "svc-api" {
			return fmt.Errorf("%s, %d bytes as %q: %w", resp.Status, e.BodyLength, e.User, err)
		}
		return nil
	}
	down := func(size, rate int64) error {
		resp, err := client.Do(request(t, http.MethodGet, fmt.Sprintf("%s/secure/attachment/zeros/%d", gw.url, size), nil, "Authorization", token))
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		n, err := io.Copy(io.Discard, slowly(resp.Body, rate))
		if err != nil || n != size {
			return fmt.Errorf("%s, %d bytes: %w", resp.Status, n, err)
		}
		return nil
	}
	const slow, rate, large = 4 << 20, 64 << 10, 1 << 30
	var all sync.WaitGroup
	run := func(what string, call func(size, rate int64) error, size, rate int64) {
		all.Go(func() {
			if err := call(size, rate); err != nil {
				t.Errorf("%s of %d bytes: %v", what, size, err)
			}
		})
	}
	for range 100 {
		run("upload", up, slow, rate)
		run("download", down, slow, rate)
	}
	run("upload", up, large, 0)
	run("download", down, large, 0)
	for _, mode := range []string{"observe", "enforce"} {
		gw.reached(t, w.commit(&configv1.ModeSet{Site: "jira", Mode: mode}))
	}
	all.Wait()
	ending := peak(t, cmd.Process.Pid)
	t.Logf("the gateway took %d MiB at most, %d MiB before", ending>>20, began>>20)
	if ending > 128<<20 {
		t.Errorf("the gateway took %d MiB", ending>>20)
	}
}

// paced is so many bytes, so many of them a second; rate 0: as they are asked for.
type paced struct{ left, rate int64 }

func (p *paced) Read(buf []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if p.rate > 0 {
		buf = buf[:min(int64(len(buf)), p.rate/16)]
		pause(int64(len(buf)), p.rate)
	}
	n := min(int64(len(buf)), p.left)
	clear(buf[:n])
	p.left -= n
	return int(n), nil
}

// slowly reads at a rate; 0: as fast as it comes.
func slowly(from io.Reader, rate int64) io.Reader {
	if rate == 0 {
		return from
	}
	return readerFunc(func(buf []byte) (int, error) {
		n, err := from.Read(buf[:min(int64(len(buf)), rate/16)])
		pause(int64(n), rate)
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// pause waits as long as so many bytes take at a rate a second.
func pause(bytes, rate int64) { <-time.After(time.Duration(bytes) * time.Second / time.Duration(rate)) }

// peak is the most memory a process had resident, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
