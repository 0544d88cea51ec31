package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		signals []time.Duration // when they come
		ends    time.Duration   // by itself, or so long after it was told to
		err     error
		want    error
		text    string
		at      time.Duration
	}{
		"ends by itself":       {nil, time.Hour, nil, nil, "", time.Hour},
		"fails":                {nil, time.Hour, failed, failed, "", time.Hour},
		"drains":               {[]time.Duration{time.Minute}, 10 * time.Second, nil, nil, "", 70 * time.Second},
		"fails while draining": {[]time.Duration{time.Minute}, 10 * time.Second, failed, failed, "", 70 * time.Second},
		"drains too long":      {[]time.Duration{time.Minute}, 31 * time.Second, nil, nil, "not drained after 30s (GATEHOUSE_DRAIN_TIMEOUT)", 90 * time.Second},
		"a second signal":      {[]time.Duration{time.Minute, time.Second}, 10 * time.Second, nil, errAtOnce, "", 61 * time.Second},
		"two at once":          {[]time.Duration{time.Minute, 0}, 10 * time.Second, nil, errAtOnce, "", 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				signals, done, stopped := make(chan os.Signal, 2), make(chan error, 1), make(chan struct{})
				var all sync.WaitGroup
				defer all.Wait()
				all.Go(func() {
					for _, d := range c.signals {
						<-time.After(d)
						signals <- syscall.SIGTERM
					}
				})
				all.Go(func() {
					if len(c.signals) > 0 {
						<-stopped
					}
					<-time.After(c.ends)
					done <- c.err
				})
				began := time.Now()
				err := await(done, signals, 30*time.Second, func(os.Signal) { close(stopped) })
				if took := time.Since(began); took != c.at {
					t.Errorf("took %s, want %s", took, c.at)
				}
				if c.text == "" && !errors.Is(err, c.want) || c.text != "" && (err == nil || err.Error() != c.text) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestAProcessFromItsStartToItsEnd looks at its operations listener all along.
func TestAProcessFromItsStartToItsEnd(t *testing.T) {
	t.Parallel()
	address := testkit.FreeAddress(t)
	signals, ended := make(chan os.Signal, 2), make(chan error, 1)
	step, goOn := make(chan string), make(chan struct{})
	ops := Operations{OpsListen: address, DrainTimeout: 10 * time.Second}
	go func() {
		ended <- operate(t.Context(), slog.New(slog.DiscardHandler), "tests", ops, signals, func(ctx context.Context, p *Process) error {
			reach := func(s string) { step <- s; <-goOn }
			h := p.Host("gateway", "")
			reach("starting")
			h.Health.Set(func() Check { return Check{Ready: true, Detail: "all well"} })
			reach("ready")
			<-ctx.Done()
			reach("stopping")
			return nil
		})
	}()
	for _, want := range []struct {
		step   string
		status int
		body   string
	}{
		{"starting", 503, `{"ready":false,"checks":{"gateway":{"ready":false,"detail":{"state":"starting"}}}}`},
		{"ready", 200, `{"ready":true,"checks":{"gateway":{"ready":true,"detail":"all well"}}}`},
		{"stopping", 503, `{"ready":false,"checks":{"gateway":{"ready":true,"detail":"all well"},"process":{"ready":false,"detail":"stopping"}}}`},
	} {
		if want.step == "stopping" {
			signals <- syscall.SIGTERM
		}
		got := <-step
		status, body := look(t, address, "/readyz")
		if got != want.step || status != want.status || body != want.body {
			t.Errorf("%s: %d %s", got, status, body)
		}
		if status, _ := look(t, address, "/livez"); status != http.StatusOK {
			t.Errorf("%s: not alive", got)
		}
		goOn <- struct{}{}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	// A child that TestSignals has forked and that is not yet exec'ed holds the socket open a moment longer than we do.
	testkit.Until(t, "the operations listener to be closed", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

func look(t *testing.T, address, path string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}
