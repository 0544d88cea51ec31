package config

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/google/go-cmp/cmp"
)

func TestAnEmptyConfigurationIsALoadedOne(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	r := i.get("config").want(http.StatusOK)
	if tag := r.header.Get("ETag"); !strings.HasPrefix(tag, `"0-`) || r.header.Get("X-Gatehouse-Config-Version") != "0" {
		t.Errorf("ETag %s", tag)
	}
	var c configlog.Config
	r.json(&c)
	if c.Sites == nil || c.Audit.Retention.MaxDays != 90 {
		t.Errorf("got %s", r.body)
	}
	// What GET shows, PUT takes.
	out := i.call(http.MethodPut, "config", r.body, "If-Match", r.header.Get("ETag")).changed()
	if out.Version != 1 || len(out.Changes) != 1 || out.Changes[0].Type != "RetentionSet" {
		t.Errorf("got %+v", out)
	}
	for _, name := range []string{"X-Gatehouse-Request-Id", "X-Content-Type-Options", "Content-Security-Policy"} {
		if r.header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %s", r.header.Get("Cache-Control"))
	}
}

func TestPutThenGet(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	r := i.put(oneSite(value("one"), value("two")), "X-Gatehouse-Why", "first site", "X-Request-Id", "req-1")
	out := r.changed()
	if out.Version != 1 || out.ETag != r.header.Get("ETag") || len(out.Pending) != 0 || out.Warnings == nil || len(out.Changes) < 10 {
		t.Fatalf("got %+v", out)
	}
	if r.header.Get("X-Gatehouse-Request-Id") != "req-1" {
		t.Errorf("request id %s", r.header.Get("X-Gatehouse-Request-Id"))
	}
	got := i.get("config").want(http.StatusOK)
	if got.header.Get("ETag") != out.ETag || strings.Contains(got.body, "null") {
		t.Errorf("%s %s", got.header.Get("ETag"), got.body)
	}
	// Again, and what GET gives, in both syntaxes: no change.
	yaml := i.get("config", "Accept", "application/yaml").want(http.StatusOK)
	if yaml.header.Get("Content-Type") != "application/yaml" || !strings.Contains(yaml.body, "\n  - id: jira\n") && !strings.Contains(yaml.body, "\n- id: jira\n") {
		t.Errorf("not YAML: %s", yaml.body)
	}
	for name, again := range map[string]reply{
		"the same":     i.put(oneSite(value("one"), value("two"))),
		"GET's":        i.put(got.body),
		"GET's YAML":   i.put(yaml.body, "Content-Type", "application/yaml"),
		"GET's x-yaml": i.put(yaml.body, "Content-Type", "application/x-yaml; charset=utf-8"),
	} {
		if c := again.changed(); c.Version != 1 || c.ETag != out.ETag || len(c.Changes) != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	for given, status := range map[string]int{
		out.ETag: http.StatusNotModified, "W/" + out.ETag: http.StatusNotModified, "*": http.StatusNotModified, `"x", W/` + out.ETag: http.StatusNotModified,
		`"x"`: http.StatusOK, `W/"*"`: http.StatusOK,
	} {
		if r := i.get("config", "If-None-Match", given); r.status != status || r.header.Get("ETag") != out.ETag || (r.body == "") != (status == http.StatusNotModified) {
			t.Errorf("If-None-Match: %s gives %d", given, r.status)
		}
	}
	var page struct{ Events []event }
	i.get("config/events").want(http.StatusOK).json(&page)
	if len(page.Events) != 1 || page.Events[0].Why != "first site" || page.Events[0].RequestID != "req-1" ||
		page.Events[0].Who != (actor{Name: "bootstrap", Role: "admin", Address: "127.0.0.1"}) || len(page.Events[0].Facts) != len(out.Changes) {
		t.Errorf("events: %+v", page)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	first := i.put(simple(1)).changed()
	second := i.call(http.MethodPut, "config", simple(2), "If-Match", first.ETag).changed()
	for name, c := range map[string]struct {
		tag    string
		status int
	}{
		"stale":     {first.ETag, http.StatusPreconditionFailed},
		"weak":      {"W/" + second.ETag, http.StatusPreconditionFailed},
		"garbage":   {"x", http.StatusPreconditionFailed},
		"future":    {`"9-` + strings.Repeat("0", 64) + `"`, http.StatusPreconditionFailed},
		"one of it": {`"x", ` + second.ETag, http.StatusOK},
	} {
		r := i.call(http.MethodPut, "config", simple(2), "If-Match", c.tag).want(c.status)
		if c.status == http.StatusPreconditionFailed && (r.header.Get("ETag") != second.ETag || !strings.Contains(r.body, `"version":2`)) {
			t.Errorf("%s: %s %s", name, r.header.Get("ETag"), r.body)
		}
	}
	i.call(http.MethodPut, "config", simple(3)).want(http.StatusPreconditionRequired)
	i.call(http.MethodPost, "config/rollback", `{"to":1}`).want(http.StatusPreconditionRequired)
	if now := i.get("config").header.Get("ETag"); now != second.ETag {
		t.Errorf("it is %s now", now)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	large := `{"sites":[{"id":"` + strings.Repeat("x", 8<<20) + `"}]}`
	for name, c := range map[string]struct {
		r      reply
		status int
	}{
		"8 MiB":                  {i.put(large), http.StatusRequestEntityTooLarge},
		"a form":                 {i.put("sites=", "Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType},
		"compressed":             {i.put("x", "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType},
		"mistyped dry_run":       {i.call(http.MethodPut, "config?dryrun=true", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"strange dry_run":        {i.call(http.MethodPut, "config?dry_run=perhaps", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"twice":                  {i.call(http.MethodPut, "config?why=a&why=b", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"long wait":              {i.call(http.MethodPut, "config?wait=1h", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"negative wait":          {i.call(http.MethodPut, "config?wait=-1s", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"why of two lines":       {i.call(http.MethodPut, "config?why=a%0Ab", simple(1), "If-Match", "*"), http.StatusBadRequest},
		"why not UTF-8":          {i.put(simple(1), "X-Gatehouse-Why", "\xff"), http.StatusBadRequest},
		"long why":               {i.put(simple(1), "X-Gatehouse-Why", strings.Repeat("x", 1001)), http.StatusBadRequest},
		"at what":                {i.get("config?at=latest"), http.StatusBadRequest},
		"at the future":          {i.get("config?at=7"), http.StatusNotFound},
		"unknown query":          {i.get("config?att=7"), http.StatusBadRequest},
		"limit 0":                {i.get("config/events?limit=0"), http.StatusBadRequest},
		"limit beyond":           {i.get("config/history?limit=1001"), http.StatusBadRequest},
		"unknown path":           {i.get("confug"), http.StatusNotFound},
		"unknown root":           {i.get("../../x"), http.StatusNotFound},
		"wrong method":           {i.call(http.MethodDelete, "config", ""), http.StatusMethodNotAllowed},
		"rollback to nothing":    {i.call(http.MethodPost, "config/rollback", `{}`, "If-Match", "*"), http.StatusUnprocessableEntity},
		"rollback to text":       {i.call(http.MethodPost, "config/rollback", `{"to":"1"}`, "If-Match", "*"), http.StatusUnprocessableEntity},
		"rollback to more":       {i.call(http.MethodPost, "config/rollback", `{"to":0,"and":1}`, "If-Match", "*"), http.StatusUnprocessableEntity},
		"rollback to the future": {i.call(http.MethodPost, "config/rollback", `{"to":7}`, "If-Match", "*"), http.StatusNotFound},
		"not JSON":               {i.put("{"), http.StatusUnprocessableEntity},
		"nothing":                {i.put(""), http.StatusUnprocessableEntity},
	} {
		var body struct{ Code, Message string }
		c.r.want(c.status).json(&body)
		if body.Code == "" || body.Message == "" {
			t.Errorf("%s: %s", name, c.r.body)
		}
	}
	if allow := i.call(http.MethodDelete, "config", "").header.Get("Allow"); allow != "GET, HEAD, PUT" {
		t.Errorf("Allow: %s", allow)
	}
	if tag := i.get("config").header.Get("ETag"); !strings.HasPrefix(tag, `"0-`) {
		t.Errorf("something was stored: %s", tag)
	}
	i.call(http.MethodHead, "config", "").want(http.StatusOK)
}

func TestEveryProblemIsNamedAndNothingChanged(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	r := i.put(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":7}],"surprise":{"deep":[1]},
		"providers":[{"id":"p","introspection_endpoint":"http://sso.example.com/x","client_id":"c","client_secret":{"ref":"nobody","version":3}},
			{"id":"open","introspection_endpoint":"https://h/x","client_id":"c","client_secret":{"value":"x\ny"}}],
		"upstream":{"driver":"oauth1-2loi","consumer_key":"k","private_key":{"value":"not a key"}},"directory":{"account":"ghost"},
		"ip":{"allow":["10.0.0.0/33"]}}],"audit":{"retention":{"max_days":"many"}},"extra":{"a":{"b":1}}}`)
	want := []string{
		"audit.retention.max_days", "extra", "sites[0].ip.allow[0]", "sites[0].nodes[0].url",
		"sites[0].providers[0]", "sites[0].providers[0].client_secret", "sites[0].providers[0].introspection_endpoint",
		"sites[0].providers[1]", "sites[0].providers[1].client_secret.value", "sites[0].surprise", "sites[0].upstream.private_key.value",
	}
	if diff := cmp.Diff(want, r.want(http.StatusUnprocessableEntity).problems()); diff != "" {
		t.Errorf("%s\n%s", diff, r.body)
	}
	if !strings.Contains(r.body, "open_to_all_clients") {
		t.Errorf("open_to_all_clients is not named: %s", r.body)
	}
	if tag := i.get("config").header.Get("ETag"); !strings.HasPrefix(tag, `"0-`) {
		t.Errorf("something was stored: %s", tag)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	r := i.call(http.MethodPut, "config?dry_run=true", oneSite(value("one"), value("two")), "If-Match", "*")
	out := r.changed()
	if !out.DryRun || out.Version != 0 || len(out.Changes) < 10 || !strings.HasPrefix(out.ETag, `"0-`) {
		t.Errorf("got %+v", out)
	}
	if tag := i.get("config").header.Get("ETag"); tag != out.ETag {
		t.Errorf("something was stored: %s", tag)
	}
	if keys := sealedKeys(t, n); len(keys) > 0 {
		t.Errorf("something was sealed: %v", keys)
	}
}

func TestThePast(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	var tags []string
	for k := 1; k <= 5; k++ {
		tags = append(tags, i.put(simple(k), "X-Gatehouse-Why", fmt.Sprint("change ", k)).changed().ETag)
	}
	for k := 1; k <= 5; k++ {
		r := i.get("config?at=" + strconv.Itoa(k)).want(http.StatusOK)
		var c configlog.Config
		r.json(&c)
		if c.Sites[0].RateLimit.Requests != uint64(k) || r.header.Get("ETag") != tags[k-1] || r.header.Get("X-Gatehouse-Config-Version") != strconv.Itoa(k) {
			t.Errorf("at %d: %s %d", k, r.header.Get("ETag"), c.Sites[0].RateLimit.Requests)
		}
	}
	if r := i.get("config?at=0").want(http.StatusOK); !strings.Contains(r.body, `"sites": []`) {
		t.Errorf("at 0: %s", r.body)
	}
	var events struct {
		Events []event
		Next   uint64
	}
	i.get("config/events?from=2&limit=2").want(http.StatusOK).json(&events)
	if len(events.Events) != 2 || events.Events[0].Sequence != 2 || events.Next != 4 || `"`+fmt.Sprintf("2-%s", events.Events[0].Hash)+`"` != tags[1] {
		t.Errorf("events: %+v", events)
	}
	var history struct {
		History []change
		Next    uint64
	}
	i.get("config/history?limit=2").want(http.StatusOK).json(&history)
	if len(history.History) != 2 || history.History[0].Sequence != 5 || history.Next != 4 || history.History[0].Why != "change 5" || history.History[0].Facts[0] != "RateLimitSet" {
		t.Errorf("history: %+v", history)
	}
	history.Next = 0
	i.get("config/history?before=4&limit=3").want(http.StatusOK).json(&history)
	if len(history.History) != 3 || history.History[2].Sequence != 1 || history.Next != 0 {
		t.Errorf("history: %+v", history)
	}
	i.get("config/events?from=99").want(http.StatusOK).json(&events)
	if len(events.Events) != 0 {
		t.Errorf("events behind the end: %+v", events)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	i.put(oneSite(value("one"), value("acc"))).changed()
	then := i.get("config").body
	i.put(oneSite(value("two"), value("acc"), `"mode":"observe"`)).changed()
	dry := i.call(http.MethodPost, "config/rollback?dry_run=true", `{"to":1}`, "If-Match", "*").changed()
	out := i.call(http.MethodPost, "config/rollback", `{"to":1,"why":"two was worse"}`, "If-Match", i.get("config").header.Get("ETag")).changed()
	if diff := cmp.Diff(dry.Changes, out.Changes); diff != "" || out.Version != 3 || len(out.Changes) != 2 {
		t.Errorf("%+v %s", out, diff)
	}
	if diff := cmp.Diff(then, i.get("config").body); diff != "" {
		t.Error(diff)
	}
	// A new value after a rollback does not overwrite what was sealed before.
	i.put(oneSite(value("three"), value("acc"))).changed()
	var c configlog.Config
	i.get("config").json(&c)
	if v := c.Sites[0].Providers[0].ClientSecret.Version; v != 3 {
		t.Errorf("version %d", v)
	}
	// Back to before the first change.
	i.call(http.MethodPost, "config/rollback", `{"to":0}`, "If-Match", "*").changed()
	if r := i.get("config"); !strings.Contains(r.body, `"sites": []`) {
		t.Error(r.body)
	}
}

func TestOneOfManyWins(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	for round := range 5 {
		tag := i.get("config").header.Get("ETag")
		var mu sync.Mutex
		got := map[int]int{}
		var wait sync.WaitGroup
		for k := range 8 {
			wait.Go(func() {
				r := i.call(http.MethodPut, "config", oneSite(value(fmt.Sprint("p", round, k)), value("a")), "If-Match", tag)
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		wait.Wait()
		if got[200] != 1 || got[412] != 7 {
			t.Fatalf("got %v", got)
		}
	}
}

func TestTwoInstances(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	one := start(t, n, nil).ready()
	two := start(t, n, func(s *Settings) { s.KeysDir = one.keys }).ready()
	for round := range 5 {
		tag := one.get("config").header.Get("ETag")
		var mu sync.Mutex
		got := map[int]int{}
		var wait sync.WaitGroup
		for k, i := range []*instance{one, two, one, two, one, two, one, two} {
			wait.Go(func() {
				r := i.call(http.MethodPut, "config", oneSite(value(fmt.Sprint("p", round, k)), value("a")), "If-Match", tag)
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		wait.Wait()
		if got[200] != 1 || got[412] != 7 {
			t.Fatalf("got %v", got)
		}
	}
	// What one has stored, the other takes as a condition at once.
	for k := range 10 {
		tag := one.put(simple(k + 1)).changed().ETag
		out := two.call(http.MethodPut, "config", simple(k+100), "If-Match", tag).changed()
		one.call(http.MethodPut, "config", simple(k+200), "If-Match", out.ETag).changed()
	}
	// "*" wins over whatever there is, at both at once.
	var wait sync.WaitGroup
	for _, i := range []*instance{one, two} {
		wait.Go(func() {
			for k := range 10 {
				i.put(simple(1000 + k)).changed()
			}
		})
	}
	wait.Wait()
	var a, b json.RawMessage
	one.until("the same everywhere", func() bool {
		r, s := one.get("config"), two.get("config")
		r.json(&a)
		s.json(&b)
		return r.header.Get("ETag") == s.header.Get("ETag") && string(a) == string(b)
	})
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	var list strings.Builder
	for k := range 12_000 {
		fmt.Fprintf(&list, `,"10.%d.%d.%d"`, k>>16, k>>8&255, k&255)
	}
	doc := fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"ip":{"allow":[%s]}}]}`, list.String()[1:])
	r := i.put(doc).want(http.StatusUnprocessableEntity)
	if !strings.Contains(r.body, "900 KiB") {
		t.Error(r.body)
	}
	i.call(http.MethodPut, "config?dry_run=true", doc, "If-Match", "*").want(http.StatusUnprocessableEntity)
	if tag := i.get("config").header.Get("ETag"); !strings.HasPrefix(tag, `"0-`) {
		t.Errorf("something was stored: %s", tag)
	}
}

func BenchmarkPutToCommit(b *testing.B) {
	i := start(b, testkit.StartNATS(b), nil).ready()
	secrets := oneSite(value("one"), value("two"))
	i.put(secrets).changed()
	var k int
	for b.Loop() {
		k++
		i.put(oneSite(value("one"), value("two"), fmt.Sprintf(`"rate_limit":{"requests":%d}`, k))).want(http.StatusOK)
	}
}

// A large commit of the facts that are dearest to fold.
func TestLarge(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	list := make([]string, 2000)
	for k := range list {
		list[k] = fmt.Sprintf(`"10.0.%d.%d"`, k>>8, k&255)
	}
	out := i.put(fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"ip":{"allow":[%s]}}]}`, strings.Join(list, ","))).changed()
	if len(out.Changes) < 2000 || len(i.site().IP.Allow) != 2000 {
		t.Errorf("%d changes", len(out.Changes))
	}
}
