package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/go-cmp/cmp"
)

const siteWithAccounts = `{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://10.0.0.1:8080"}],
	"tokens":{"max_lifetime":"30d","max_per_user":3},"upstream":{"driver":"pat","accounts":{"svc-api":{"value":"x"},"Alice":{"value":"y"}}}}]}`

// token issues an API token.
func (i *instance) token(name, owner, more string) apiToken {
	i.t.Helper()
	var out apiToken
	i.call(http.MethodPost, "tokens", fmt.Sprintf(`{"name":%q,"owner":%q,"site":"jira"%s}`, name, owner, more)).want(http.StatusCreated).json(&out)
	return out
}

// tokens gives the names on a page of tokens, and the next page.
func (i *instance) tokens(query string) (names []string, next string) {
	i.t.Helper()
	var page struct {
		Tokens []apiToken
		Next   string
	}
	i.get("tokens" + query).want(http.StatusOK).json(&page)
	for _, t := range page.Tokens {
		if t.Token != "" {
			i.t.Error("a list shows a token")
		}
		names = append(names, t.Name)
	}
	return names, page.Next
}

func TestAPITokensAreIssuedAndRevoked(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	i.put(siteWithAccounts).changed()
	made := i.token("backup", "svc-api", `,"expires_in":"1h","read_only":true,"ip":["10.0.0.7","2001:db8::/32"]`)
	if !opaque.WellFormed("ght_", made.Token) || made.ID != tokenlog.IDOf(opaque.Hash(made.Token)).String() || made.Standing != tokenlog.Good || !made.ReadOnly {
		t.Errorf("%+v", made)
	}
	if left := time.Until(*made.ExpiresAt); left > time.Hour || left < 59*time.Minute || !cmp.Equal(made.IP, []string{"10.0.0.7/32", "2001:db8::/32"}) || len(*made.Pending) != 0 {
		t.Errorf("%+v", made)
	}
	longest := i.token("as long as may be", "alice", "")
	if left := time.Until(*longest.ExpiresAt); left > 30*24*time.Hour || left < 30*24*time.Hour-time.Minute {
		t.Errorf("%+v", longest)
	}
	var got apiToken
	i.get("tokens/" + made.ID).want(http.StatusOK).json(&got)
	made.Token, made.Pending = "", nil
	if diff := cmp.Diff(made, got); diff != "" {
		t.Error(diff)
	}
	var gone, again apiToken
	i.call(http.MethodDelete, "tokens/"+made.ID, "").want(http.StatusOK).json(&gone)
	i.call(http.MethodDelete, "tokens/"+made.ID, "").want(http.StatusOK).json(&again)
	if gone.Standing != tokenlog.Revoked || gone.RevokedAt == nil || !cmp.Equal(gone, again) {
		t.Errorf("%+v, again %+v", gone, again)
	}
	i.call(http.MethodDelete, "tokens/0123456789abcdef", "").want(http.StatusNotFound)
	i.get("tokens/x").want(http.StatusNotFound)
	if names, _ := i.tokens("?standing=good"); !slices.Equal(names, []string{"as long as may be"}) {
		t.Errorf("%q", names)
	}
	if names, _ := i.tokens("?owner=ALICE&site=jira"); !slices.Equal(names, []string{"as long as may be"}) {
		t.Errorf("%q", names)
	}
	for _, query := range []string{"?standing=x", "?cursor=x", "?cursor=0123456789abcdef", "?limit=0", "?sort=x"} {
		i.get("tokens" + query).want(http.StatusBadRequest)
	}
	// What another instance reads of the log is the same, and so it is after a restart.
	other := start(t, n, func(s *Settings) { s.KeysDir = i.keys }).ready()
	other.until("the tokens to be read", func() bool { return other.get("tokens").status == http.StatusOK })
	if mine, theirs := i.get("tokens").body, other.get("tokens").body; mine != theirs {
		t.Errorf("%s, and another says %s", mine, theirs)
	}
	if strings.Contains(i.log.String(), longest.Token) || strings.Contains(string(raw(t, n)), longest.Token) {
		t.Error("the token is in the log")
	}
}

// raw gives every message of the token log.
func raw(t *testing.T, n *testkit.NATS) (all []byte) {
	t.Helper()
	stream, err := n.JetStream(t, topology.Config).Stream(t.Context(), topology.StreamTokens)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Data...)
	}
	return all
}

func TestWhoGetsNoAPIToken(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	i.put(siteWithAccounts).changed()
	for name, c := range map[string]struct {
		body  string
		paths []string
	}{
		"nothing":    {`{}`, []string{"name", "owner", "site"}},
		"everything": {`{"name":"a\nb","owner":"x","site":"jira","expires_in":"1s","ip":["10.0.0.0/33","::ffff:10.0.0.0/104"],"x":1}`, []string{"expires_in", "ip[0]", "ip[1]", "name", "owner", "x"}},
		"types":      {`{"name":1,"owner":[],"site":{},"read_only":"yes","expires_in":5,"ip":"10.0.0.1"}`, []string{"expires_in", "ip", "name", "owner", "read_only", "site"}},
		"too long":   {`{"name":"a","owner":"svc-api","site":"jira","expires_in":"31d"}`, []string{"expires_in"}},
		"no site":    {`{"name":"a","owner":"svc-api","site":"wiki"}`, []string{"site"}},
		"nobody":     {`{"name":"a","owner":"mallory","site":"jira"}`, []string{"owner"}},
		"many":       {`{"name":"a","owner":"svc-api","site":"jira","ip":[` + strings.Repeat(`"10.0.0.1",`, 50) + `"10.0.0.1"]}`, []string{"ip[50]"}},
	} {
		r := i.call(http.MethodPost, "tokens", c.body).want(http.StatusUnprocessableEntity)
		if diff := cmp.Diff(c.paths, r.problems()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	good := `{"name":"a","owner":"svc-api","site":"jira"}`
	for role, status := range map[string]int{"auditor": http.StatusForbidden, "token-manager": http.StatusCreated, "admin": http.StatusCreated} {
		_, bearer := i.issue(role, role, "")
		i.call(http.MethodPost, "tokens", good, "Authorization", bearer).want(status)
		i.get("tokens", "Authorization", bearer).want(http.StatusOK)
	}
	i.token("the third", "SVC-API", "")
	if r := i.call(http.MethodPost, "tokens", good); r.status != http.StatusConflict || !strings.Contains(r.body, "max_per_user") {
		t.Errorf("%d %s", r.status, r.body)
	}
	var page struct{ Tokens []apiToken }
	i.get("tokens?limit=1").json(&page)
	i.call(http.MethodDelete, "tokens/"+page.Tokens[0].ID, "").want(http.StatusOK)
	i.token("in its place", "svc-api", "")
	i.token("another's", "alice", "")
}

// TestTwoDesksAtOnce: however many ask at once, and of whom, nobody has more tokens than the site allows.
func TestTwoDesksAtOnce(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	one := start(t, n, nil).ready()
	one.put(siteWithAccounts).changed()
	two := start(t, n, func(s *Settings) { s.KeysDir = one.keys }).ready()
	two.until("the site to be known", func() bool {
		return strings.Contains(two.get("config").body, "Alice") && two.get("tokens").status == http.StatusOK
	})
	var all sync.WaitGroup
	statuses := make([]int, 16)
	for k := range statuses {
		all.Go(func() {
			statuses[k] = []*instance{one, two}[k%2].call(http.MethodPost, "tokens", fmt.Sprintf(`{"name":"t%d","owner":"alice","site":"jira"}`, k)).status
		})
	}
	all.Wait()
	issued := 0
	for _, status := range statuses {
		if status == http.StatusCreated {
			issued++
		} else if status != http.StatusConflict && status != http.StatusServiceUnavailable { // 503: others were first, again and again
			t.Errorf("status %d", status)
		}
	}
	names, _ := one.tokens("?owner=alice")
	if len(names) != issued || issued > 3 || issued == 0 {
		t.Errorf("%d issued, %q there", issued, names)
	}
}

func TestPagesOfTokens(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	i.put(strings.Replace(siteWithAccounts, `"max_per_user":3`, `"max_per_user":0`, 1)).changed()
	for k := range 7 {
		i.token(fmt.Sprint(k), "svc-api", "")
	}
	seen := map[string]bool{}
	pages, cursor := 0, ""
	for {
		names, next := i.tokens("?limit=3" + cursor)
		for _, name := range names {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		pages++
		if next == "" {
			break
		}
		cursor = "&cursor=" + next
	}
	if len(seen) != 7 || pages != 3 {
		t.Errorf("%d tokens on %d pages", len(seen), pages)
	}
}

// TestATokenIsAnsweredWhenGatewaysKnowIt, and those that do not are named; so it is when it is revoked.
func TestATokenIsAnsweredWhenGatewaysKnowIt(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.WaitApplied = time.Minute }).ready()
	i.put(siteWithAccounts).changed()
	quick, slow := beats(t, n, "quick", eventlog.State{}, 9), beats(t, n, "slow", eventlog.State{}, 9)
	i.until("both are there", func() bool { return len(i.list()) == 2 })
	log := eventlog.New(n.JetStream(t, topology.Config), topology.TokenLog(), eventlog.Options{})
	follows := tokenlog.NewFollower(testkit.Logger(t), log, tokenlog.Options{})
	var running sync.WaitGroup
	ctx := t.Context()
	running.Go(func() { follows.Run(ctx) })
	t.Cleanup(running.Wait)
	done := make(chan apiToken, 1)
	go func() { done <- i.token("a", "svc-api", "") }()
	if err := follows.Reached(ctx, 1); err != nil {
		t.Fatal(err)
	}
	at, _ := follows.State()
	quick.checks(at)
	select {
	case made := <-done:
		t.Errorf("answered before a gateway knew it: %+v", made)
	case <-time.After(200 * time.Millisecond):
	}
	slow.checks(at)
	made := <-done
	if len(*made.Pending) != 0 {
		t.Errorf("%+v", made)
	}
	var gone apiToken
	i.call(http.MethodDelete, "tokens/"+made.ID+"?wait=300ms", "").want(http.StatusOK).json(&gone)
	if !cmp.Equal(*gone.Pending, []string{"quick", "slow"}) {
		t.Errorf("%+v", gone)
	}
	// A gateway that checks by what is in no log: nothing is decided.
	quick.checks(eventlog.State{Seq: 2, Hash: eventlog.Hash{1}})
	i.until("it is found out", func() bool {
		r := i.call(http.MethodPost, "tokens?wait=1ms", `{"name":"a","owner":"alice","site":"jira"}`)
		return r.status == http.StatusConflict && strings.Contains(r.body, "another_history") && strings.Contains(r.body, "quick")
	})
}

// TestTheTokenLogIsHealed: a stream that was lost is written again from memory, so nothing that was revoked comes back.
func TestTheTokenLogIsHealed(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	i.put(siteWithAccounts).changed()
	gone, there := i.token("gone", "svc-api", ""), i.token("there", "svc-api", "")
	i.call(http.MethodDelete, "tokens/"+gone.ID, "").want(http.StatusOK)
	before := raw(t, n)
	js := n.JetStream(t, topology.Operator)
	if err := js.DeleteStream(t.Context(), topology.StreamTokens); err != nil {
		t.Fatal(err)
	}
	i.until("it is healed", func() bool {
		stream, err := n.JetStream(t, topology.Config).Stream(t.Context(), topology.StreamTokens)
		return err == nil && stream.CachedInfo().State.LastSeq == 3
	})
	if diff := cmp.Diff(before, raw(t, n)); diff != "" {
		t.Error(diff)
	}
	i.until("decisions are taken", func() bool {
		return i.call(http.MethodPost, "tokens", `{"name":"a","owner":"alice","site":"jira"}`).status == http.StatusCreated
	})
	var got apiToken
	i.get("tokens/" + there.ID).json(&got)
	if got.Standing != tokenlog.Good || !strings.Contains(i.log.String(), `"stream":"TOKENS"`) {
		t.Errorf("%+v", got)
	}
}

func TestTokensWithoutNATS(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	i := start(t, n, func(s *Settings) { s.AppendTimeout = 500 * time.Millisecond }).ready()
	i.put(siteWithAccounts).changed()
	made := i.token("a", "svc-api", "")
	n.Stop()
	i.get("tokens").want(http.StatusOK)
	i.call(http.MethodPost, "tokens", `{"name":"b","owner":"svc-api","site":"jira"}`).want(http.StatusServiceUnavailable)
	i.call(http.MethodDelete, "tokens/"+made.ID, "").want(http.StatusServiceUnavailable)
	n.Start(t)
	i.until("decisions are taken", func() bool {
		return i.call(http.MethodDelete, "tokens/"+made.ID, "").status == http.StatusOK
	})
	if names, _ := i.tokens(""); !slices.Equal(names, []string{"a"}) {
		t.Errorf("%q", names)
	}
}
