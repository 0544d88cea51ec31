package service_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/shared/service"
)

// TestMain is also the main of the processes that TestSignals starts: a service that says when it runs and when it
// was told to stop, and then ends or, asked to, does not.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "as-a-service-that-") {
		environ := []string{"GATEHOUSE_OPS_LISTEN=127.0.0.1:0", "GATEHOUSE_DRAIN_TIMEOUT=1m"}
		os.Exit(service.Main("child", environ, os.Stderr, func(ctx context.Context, _ *service.Host, _ struct{}) error {
			_, _ = io.WriteString(os.Stdout, "runs\n")
			<-ctx.Done()
			_, _ = io.WriteString(os.Stdout, "stops\n")
			if os.Args[1] == "as-a-service-that-hangs" {
				select {}
			}
			return nil
		}))
	}
	goleak.VerifyTestMain(m)
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		child   string
		signals []os.Signal // one when it runs, the other once it stops
		code    int
	}{
		"SIGTERM":         {"as-a-service-that-ends", []os.Signal{syscall.SIGTERM}, 0},
		"SIGINT":          {"as-a-service-that-ends", []os.Signal{os.Interrupt}, 0},
		"a second signal": {"as-a-service-that-hangs", []os.Signal{syscall.SIGTERM, os.Interrupt}, 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], c.child)
			var log bytes.Buffer
			cmd.Stderr = &log
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"runs\n", "stops\n"}[:len(c.signals)] {
				got := make([]byte, len(want))
				if _, err := io.ReadFull(out, got); err != nil || string(got) != want {
					t.Fatalf("got %q, %v, want %q\n%s", got, err, want, log.String())
				}
				if err := cmd.Process.Signal(c.signals[i]); err != nil {
					t.Fatal(err)
				}
			}
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Fatalf("exit %d, want %d\n%s", code, c.code, log.String())
			}
		})
	}
}

// main runs a service whose Run is run, and gives exit code and log.
func runMain(environ []string, run func(context.Context) error) (int, string) {
	var log syncBuffer
	code := service.Main("tests", environ, &log, func(ctx context.Context, _ *service.Host, _ struct {
		Count int `env:"COUNT"`
	},
	) error {
		return run(ctx)
	})
	return code, log.String()
}

func TestAServiceThatEndsByItselfEndsTheProcess(t *testing.T) {
	t.Parallel()
	free := []string{"GATEHOUSE_OPS_LISTEN=127.0.0.1:0"}
	if code, log := runMain(free, func(context.Context) error { return nil }); code != 0 {
		t.Errorf("exit %d: %s", code, log)
	}
	if code, log := runMain(free, func(context.Context) error { return errors.New("no database") }); code != 1 || !strings.Contains(log, `"error":"no database"`) {
		t.Errorf("exit %d: %s", code, log)
	}
}

func TestASettingThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for _, set := range []string{"GATEHOUSE_COUNT=many", "GATEHOUSE_DRAIN_TIMEOUT=soon", "GATEHOUSE_LOG_LEVEL=loud", "GATEHOUSE_TRACE_RATIO=all"} {
		name, _, _ := strings.Cut(set, "=")
		code, log := runMain([]string{set}, func(context.Context) error { t.Error("ran"); return nil })
		if code != 2 || !strings.Contains(log, name) {
			t.Errorf("%s: exit %d: %s", set, code, log)
		}
	}
}

func TestAListenerThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	code, log := runMain([]string{"GATEHOUSE_OPS_LISTEN=" + l.Addr().String()}, func(context.Context) error { t.Error("ran"); return nil })
	if code != 1 || !strings.Contains(log, "GATEHOUSE_OPS_LISTEN") || !strings.Contains(log, l.Addr().String()) {
		t.Fatalf("exit %d: %s", code, log)
	}
}

func TestACollectorThatIsNoneIsNamedAndOneThatIsAwayIsNoFailure(t *testing.T) {
	t.Parallel()
	code, log := runMain([]string{"GATEHOUSE_OPS_LISTEN=127.0.0.1:0", "GATEHOUSE_OTLP_ENDPOINT=collector"}, func(context.Context) error { t.Error("ran"); return nil })
	if code != 1 || !strings.Contains(log, "GATEHOUSE_OTLP_ENDPOINT") {
		t.Errorf("exit %d: %s", code, log)
	}
	environ := []string{"GATEHOUSE_OPS_LISTEN=127.0.0.1:0", "GATEHOUSE_OTLP_ENDPOINT=http://127.0.0.1:1", "GATEHOUSE_TRACE_RATIO=1"}
	var out syncBuffer
	code = service.Main("tests", environ, &out, func(ctx context.Context, h *service.Host, _ struct{}) error {
		_, span := h.Tracer.Start(ctx, "lost")
		span.End()
		return nil
	})
	if code != 0 {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// syncBuffer is a log that two goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
