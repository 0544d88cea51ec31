package suite_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// program is the suite as users run it: its binary, in a process of its own.
type program struct {
	t     testing.TB
	bin   string
	dir   string
	ops   string
	env   []string
	cmd   *exec.Cmd
	ended <-chan struct{}
	out   *logs // what a person reads
	errs  *logs
}

func buildProgram(t testing.TB) *program {
	t.Helper()
	p := &program{t: t, bin: filepath.Join(t.TempDir(), "gatehouse-suite"), dir: testkit.OpenDir(t)}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, "../cmd/suite").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.env = []string{"GATEHOUSE_DATA_DIR=" + p.dir, "HOME=" + p.dir, "PATH=" + os.Getenv("PATH")} //nolint:forbidigo // for its children
	for _, listener := range []string{"GATEWAY", "ADMIN", "NATS", "LAB"} {
		p.env = append(p.env, "GATEHOUSE_"+listener+"_LISTEN="+testkit.FreeAddress(t))
	}
	p.ops = testkit.FreeAddress(t)
	p.env = append(p.env, "GATEHOUSE_OPS_LISTEN="+p.ops)
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the last start said:\n%s\n%s", p.out, p.errs)
		}
	})
	return p
}

// start starts the program without waiting for anything.
func (p *program) start() {
	p.t.Helper()
	p.out, p.errs = new(logs), new(logs)
	p.cmd = exec.Command(p.bin, "--lab")
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, p.out, p.errs
	var err error
	if p.ended, err = testkit.StartChild(p.cmd); err != nil {
		p.t.Fatal(err)
	}
}

// greeted waits for the greeting and gives the commands printed in it, by their numbers.
func (p *program) greeted() map[string]string {
	p.t.Helper()
	testkit.Until(p.t, "the greeting", func() bool { return strings.Contains(p.out.String(), "Ctrl-C stops it") })
	commands, number := map[string]string{}, ""
	for line := range strings.Lines(p.out.String()) {
		if m := regexp.MustCompile(`^(\d)\. `).FindStringSubmatch(line); m != nil {
			number = m[1]
		} else if command, ok := strings.CutPrefix(line, "   "); ok {
			commands[number] += command
		}
	}
	return commands
}

// end signals the program, waits, and gives its exit code; -1 when it was killed.
func (p *program) end(s os.Signal) int {
	if p.cmd == nil {
		return 0
	}
	_ = p.cmd.Process.Signal(s)
	<-p.ended
	code := p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code
}

// paste runs printed commands as a person who pastes them into a shell does.
func (p *program) paste(commands string) string {
	p.t.Helper()
	shell := exec.CommandContext(p.t.Context(), "bash", "-c", commands)
	shell.Env = p.env
	out, err := shell.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return string(out)
}

// TestThePrintedCommands starts the suite as `make run` does, pastes what it prints, kills it with kill -9, starts
// it again on what is left, and ends it with SIGTERM.
func TestThePrintedCommands(t *testing.T) {
	t.Parallel()
	p := buildProgram(t)
	p.start()
	c := p.greeted()
	if len(c) != 5 {
		t.Fatalf("%d commands: %q", len(c), c)
	}
	said := p.paste(c["1"] + c["2"] + c["3"])
	for _, want := range []string{`"name":"svc-api"`, "401 Unauthorized", "X-Gatehouse-Reason: token_inactive", `"reason":"token_inactive"`} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what commands 1 to 3 print:\n%s", want, said)
		}
	}
	ids := map[string]string{}
	testkit.Until(t, "both calls in the trail", func() bool {
		var page struct {
			Events []event `json:"events"`
		}
		if out := p.paste(c["4"]); json.Unmarshal([]byte(out), &page) != nil {
			t.Fatalf("command 4 prints %s", out)
		}
		for _, e := range page.Events {
			ids[e.Decision+" "+e.Reason] = e.RequestID
		}
		return len(page.Events) == 2
	})
	if ids["allow allowed"] == "" || ids["deny token_inactive"] == "" {
		t.Errorf("the trail has %v", ids)
	}
	if said := p.paste(c["1"] + c["5"]); !strings.Contains(said, `"reason":"oauth_disabled"`) {
		t.Errorf("command 5 prints %s", said)
	}

	p.end(syscall.SIGKILL)
	p.start()
	again := p.greeted()
	if said := p.paste(again["1"] + again["2"]); !strings.Contains(said, `"reason":"oauth_disabled"`) {
		t.Errorf("the change is gone: %s", said)
	}
	all := p.paste(strings.ReplaceAll(again["4"], "limit=2", "limit=100"))
	for what, id := range ids {
		if strings.Count(all, id) != 1 {
			t.Errorf("%s is in the trail %d times after kill -9", what, strings.Count(all, id))
		}
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("SIGTERM: exit %d", code)
	}
}

// TestSIGTERMWhileItStarts stops the suite at several moments of its first start.
func TestSIGTERMWhileItStarts(t *testing.T) {
	t.Parallel()
	p := buildProgram(t)
	for _, after := range []time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1500 * time.Millisecond} {
		p.start()
		testkit.Until(t, "a process that listens to signals", func() bool {
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + p.ops + "/livez")
			if err == nil {
				_ = resp.Body.Close()
			}
			return err == nil
		})
		<-time.After(after)
		if code := p.end(syscall.SIGTERM); code != 0 {
			t.Errorf("after %s: exit %d\n%s", after, code, p.errs)
		}
	}
	p.start()
	p.greeted()
}
