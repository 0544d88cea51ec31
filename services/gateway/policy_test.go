package gateway_test

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

var update = flag.Bool("update", false, "write docs/reference/decisions.md and products.md")

// policyRow is one row of the policy: what is configured, and what becomes of calls then. The tables are run against the lab
// and printed as docs/reference/decisions.md.
type policyRow struct {
	number, title string
	product       string // default jira
	given         string // the configuration in words, beside what every table has
	facts         func(*world) []proto.Message
	decisions     []decision
}

// decision is one call and its end. {…} in a call stands for what a lab gives; see world.fill.
type decision struct {
	what   string
	call   string // method and request target
	with   string // header lines, parted by |
	status int
	// decision and reason are those of the audit record, user is whom it names.
	decision, reason, user string
	observed               string
}

// TestPolicy runs every table.
func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, row := range policyRows() {
		t.Run(row.number+" "+row.title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			switch row.product {
			case "confluence":
				w.product = w.lab.Confluence
			case "bitbucket":
				w.product = w.lab.Bitbucket
			}
			facts := []proto.Message{&configv1.AuditingSet{Site: "jira", Enabled: true, Pages: true, Sync: "group", WhenUnavailable: "deny"}}
			if row.facts != nil {
				facts = append(facts, row.facts(w)...)
			}
			gw := w.started(facts...)
			made := map[string]decision{}
			for _, d := range row.decisions {
				resp := w.call(gw, d)
				made[resp.Header.Get("X-Gatehouse-Request-Id")] = d
				reason, want := resp.Header.Get("X-Gatehouse-Reason"), d.reason
				if d.decision != "deny" && d.reason != "own" {
					want = "" // the node answers
				}
				if resp.StatusCode != d.status || reason != want {
					t.Errorf("%s: %s: %s, %q; want %d, %q", d.what, d.call, resp.Status, reason, d.status, d.reason)
				}
			}
			for r := range w.audited() {
				d, ok := made[r.GetRequestId()]
				if !ok {
					continue
				}
				delete(made, r.GetRequestId())
				if r.GetDecision() != d.decision || r.GetReason() != d.reason || r.GetUser() != d.user || r.GetObserved() != d.observed || int(r.GetStatus()) != d.status {
					t.Errorf("%s: %s: recorded %s", d.what, d.call, inShort(r))
				}
				if len(made) == 0 {
					break
				}
			}
		})
	}
}

func inShort(r *auditv1.Record) string {
	return fmt.Sprintf("%s %s as %q, observed %q, status %d, detail %q", r.GetDecision(), r.GetReason(), r.GetUser(), r.GetObserved(), r.GetStatus(), r.GetDetail())
}

// call makes a call byte for byte.
func (w *world) call(gw *running, d decision) *http.Response {
	w.t.Helper()
	head := d.call + " HTTP/1.1\r\n"
	if !strings.Contains(d.with, "Host:") {
		head += "Host: jira.example.com\r\n"
	}
	for line := range strings.SplitSeq(d.with, "|") {
		if line != "" {
			head += strings.TrimSpace(line) + "\r\n"
		}
	}
	text := raw(w.t, gw.url, w.fill(head)+"Connection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: strings.Fields(d.call)[0]})
	if err != nil {
		w.t.Fatalf("%s: %s: %v in %q", d.what, d.call, err, text)
	}
	return resp
}

var placeholder = regexp.MustCompile(`\{(token|pat|basic|session)( [^}]*)?\}`)

// fill puts in what the lab gives: {token}, {token expired}, {token of alice}, {token scope write}, {pat alice}, {pat
// confluence alice}, {basic alice} and {basic alice wrong}, {session alice}.
func (w *world) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		f := strings.Fields(strings.Trim(p, "{}"))
		switch f[0] {
		case "token":
			return w.token(func(s *lab.TokenSpec) {
				switch {
				case len(f) == 2 && f[1] == "expired":
					s.Lifetime = -time.Hour
				case len(f) == 3 && f[1] == "of":
					s.Subject, s.Username = "of-"+f[2], f[2]
				case len(f) == 3 && f[1] == "scope":
					s.Scopes = f[2:]
				}
			})
		case "pat":
			if len(f) == 3 {
				return w.lab.Confluence.PAT(f[2])
			}
			return w.product.PAT(f[1])
		case "basic":
			if len(f) == 3 {
				return basic(f[1], f[2])
			}
			return basic(f[1], f[1]+"-password")
		case "session":
			return w.signIn(f[1])
		default:
			w.t.Fatalf("what is %s?", p)
			return ""
		}
	})
}

var logins = map[string]string{"jira": "/login.jsp", "confluence": "/dologin.action", "bitbucket": "/login"}

// signIn gives the cookies of a session at the first node.
func (w *world) signIn(user string) string {
	w.t.Helper()
	form := strings.NewReader("os_username=" + user + "&os_password=" + user + "-password")
	resp, body := do(w.t, request(w.t, http.MethodPost, w.product.Nodes()[0].URL()+logins[w.kind()], form, "Content-Type", "application/x-www-form-urlencoded"))
	var all []string
	for _, c := range resp.Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	if len(all) == 0 {
		w.t.Fatalf("log-in: %s %s", resp.Status, body)
	}
	return strings.Join(all, "; ")
}

// TestTheDecisionsArePrinted: the tables are docs/reference/decisions.md.
func TestTheDecisionsArePrinted(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	out.WriteString(`# Decisions, case by case

What becomes of calls, row by row of [the policy](policy.md). The tests make each of these calls against a Jira with two nodes and hold
the reply and the audit record against this table, which is written by them (` + "`go test ./services/gateway -run Printed -update`" + `).

A site has the provider of the lab with ` + "`required_scopes: [read]`, `service_account: svc-api`" + `, all methods on, and ` + "`audit.pages: true`" + `, unless a
table says otherwise. *token* is an access token of a client; users are those of the lab. *As* is the user the audit trail names.
`)
	for _, row := range policyRows() {
		fmt.Fprintf(&out, "\n## %s · %s\n\n", row.number, row.title)
		if row.product != "" {
			fmt.Fprintf(&out, "In front of %s. ", row.product)
		}
		if row.given != "" {
			fmt.Fprintf(&out, "With `%s`:\n\n", row.given)
		}
		observed := ""
		for _, d := range row.decisions {
			if d.observed != "" {
				observed = "| observed "
			}
		}
		fmt.Fprintf(&out, "| case | call | with | answer | decision, reason | as %s|\n|---|---|---|---|---|---%s|\n", observed, strings.Repeat("|---", len(observed)/11))
		for _, d := range row.decisions {
			last := ""
			if observed != "" {
				last = "| " + d.observed + " "
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %d | %s `%s` | %s %s|\n", d.what, code(d.call), code(d.with), d.status, d.decision, d.reason, d.user, last)
		}
	}
	printed(t, "../../docs/reference/decisions.md", out.String())
	printed(t, "../../docs/reference/products.md", gateway.ProductsInWords())
}

// code shows text of a request in a table.
func code(s string) string {
	if s == "" {
		return ""
	}
	var all []string
	for part := range strings.SplitSeq(s, "|") {
		all = append(all, "`"+strings.NewReplacer("\t", `\t`, "`", "'").Replace(strings.TrimSpace(part))+"`")
	}
	return strings.Join(all, "<br>")
}

// printed holds a page of the docs against what it should say.
func printed(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the tests say: go test ./services/gateway -run Printed -update writes it", path)
	}
}
