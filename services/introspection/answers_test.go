package introspection

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

func newTestAnswers(t testing.TB, entries int) *answers {
	t.Helper()
	a, err := newAnswers(entries, entries)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnAnswerEndsExactlyWithItsTimeOrItsToken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		maxTTL, exp, want time.Duration // exp 0: none
	}{
		"max_ttl":                     {maxTTL: time.Minute, want: time.Minute},
		"max_ttl before exp":          {maxTTL: time.Minute, exp: time.Hour, want: time.Minute},
		"exp before max_ttl":          {maxTTL: time.Hour, exp: time.Minute, want: time.Minute},
		"no max_ttl":                  {exp: time.Hour},
		"negative max_ttl":            {maxTTL: -time.Second},
		"active though its exp is by": {maxTTL: time.Minute, exp: -time.Second},
	} {
		answers, p := newTestAnswers(t, 100), &trusted{maxTTL: c.maxTTL, negativeTTL: time.Second}
		a := &answer{Facts: provider.Facts{Active: true}, at: now}
		if c.exp != 0 {
			a.ExpiresAt = now.Add(c.exp)
		}
		answers.keep(key{1}, p, a, now)
		if c.want > 0 && answers.lookup(key{1}, p, now.Add(c.want-1)) != a {
			t.Errorf("%s: gone before %v", name, c.want)
		}
		if answers.lookup(key{1}, p, now.Add(max(0, c.want))) != nil {
			t.Errorf("%s: still there after %v", name, c.want)
		}
	}
}

func TestAnInactiveAnswerEndsExactlyWithNegativeTTL(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct{ maxTTL, negativeTTL, want time.Duration }{
		"negative_ttl":        {maxTTL: time.Minute, negativeTTL: 5 * time.Second, want: 5 * time.Second},
		"none":                {maxTTL: time.Minute},
		"nothing may be kept": {negativeTTL: 5 * time.Second},
	} {
		answers, p := newTestAnswers(t, 100), &trusted{maxTTL: c.maxTTL, negativeTTL: c.negativeTTL}
		answers.keep(key{1}, p, &answer{at: now}, now)
		if a := answers.lookup(key{1}, p, now.Add(c.want-1)); c.want > 0 && (a == nil || a.Active || !a.at.Equal(now)) {
			t.Errorf("%s: gone before %v", name, c.want)
		}
		if answers.lookup(key{1}, p, now.Add(c.want)) != nil {
			t.Errorf("%s: still there after %v", name, c.want)
		}
	}
}

func TestAShorterMaxTTLHoldsAtOnce(t *testing.T) {
	t.Parallel()
	now, answers := time.Now(), newTestAnswers(t, 100)
	answers.keep(key{1}, &trusted{maxTTL: time.Hour}, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	if answers.lookup(key{1}, &trusted{maxTTL: time.Second}, now.Add(2*time.Second)) != nil {
		t.Error("still there")
	}
}

func TestTheLastWordHolds(t *testing.T) {
	t.Parallel()
	now, answers := time.Now(), newTestAnswers(t, 100)
	p := &trusted{maxTTL: time.Minute, negativeTTL: time.Second}
	answers.keep(key{1}, p, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	now = now.Add(2 * time.Minute)
	answers.keep(key{1}, p, &answer{at: now}, now)
	longer := &trusted{maxTTL: time.Hour, negativeTTL: time.Second}
	if a := answers.lookup(key{1}, longer, now.Add(2*time.Second)); a != nil {
		t.Errorf("a longer max_ttl brings back what was found inactive since: %v", a)
	}
	answers.keep(key{1}, p, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	if a := answers.lookup(key{1}, p, now); a == nil || !a.Active {
		t.Error("active again, but not found so")
	}
}

func TestManyInactiveTokensPushOutNoActiveOne(t *testing.T) {
	t.Parallel()
	now, answers := time.Now(), newTestAnswers(t, 200)
	p := &trusted{maxTTL: time.Minute, negativeTTL: time.Minute}
	for i := range byte(100) {
		answers.keep(key{i}, p, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	}
	for i := range 20_000 {
		answers.keep(key{255, byte(i), byte(i >> 8)}, p, &answer{at: now}, now)
	}
	for i := range byte(100) {
		if answers.lookup(key{i}, p, now) == nil {
			t.Fatalf("%d is gone", i)
		}
	}
	answers.inactive.CleanUp()
	if n := answers.inactive.EstimatedSize(); n > 200 {
		t.Errorf("%d inactive entries", n)
	}
}

func TestLargeAnswersCountForMore(t *testing.T) {
	t.Parallel()
	now, answers := time.Now(), newTestAnswers(t, 1000)
	p := &trusted{maxTTL: time.Minute}
	for i := range 5000 {
		scopes := []string{fmt.Sprint(i) + strings.Repeat("x", 9<<10)}
		answers.keep(key{byte(i), byte(i >> 8)}, p, &answer{Facts: provider.Facts{Active: true, Scopes: scopes}, at: now}, now)
	}
	answers.active.CleanUp()
	if n := answers.active.EstimatedSize(); n > 100 {
		t.Errorf("%d entries of 9 KiB", n)
	}
}

func TestACallThatEndedMeanwhileIsNotRepeated(t *testing.T) {
	t.Parallel()
	p := &trusted{maxTTL: time.Hour, ask: &provider.Endpoint{Breaker: remote.NewBreaker(Settings{}.withDefaults().Limits), Gate: remote.NewGate(1)}}
	a := &asker{answers: newTestAnswers(t, 100), keys: newKeyer(), counters: newCounters(), flights: flight.Group[*answer]{Life: &flight.Life{Context: t.Context()}}} // no client to call with
	known := &answer{Facts: provider.Facts{Active: true}, at: time.Now()}
	a.answers.keep(key{1}, p, known, known.at)
	if got, err := a.shared(t.Context(), p, key{1}, "token"); got != known || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	a.flights.Life.End()
	if _, err := a.ask(t.Context(), p, "another"); err == nil {
		t.Error("a call began after the end")
	}
}

func TestNoTwoQuestionsShareAKey(t *testing.T) {
	t.Parallel()
	keys := newKeyer()
	if keys.of("ab", "c") == keys.of("a", "bc") || keys.of("a") == keys.of("a", "") || keys.of("a") == newKeyer().of("a") {
		t.Error("shared")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.String()).Draw(t, "a"), rapid.SliceOf(rapid.String()).Draw(t, "b")
		if (fmt.Sprintf("%q", a) == fmt.Sprintf("%q", b)) != (keys.of(a...) == keys.of(b...)) {
			t.Fatal("shared, or not stable")
		}
	})
}

func TestALookupAllocatesNothing(t *testing.T) {
	now, keys, answers := time.Now(), newKeyer(), newTestAnswers(t, 100)
	p := &trusted{maxTTL: time.Hour}
	token := strings.Repeat("t", 1500)
	answers.keep(keys.of("jira", "corp", "revision", token), p, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	if n := testing.AllocsPerRun(1000, func() {
		if answers.lookup(keys.of("jira", "corp", "revision", token), p, now) == nil {
			t.Fatal("not there")
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCacheLookup(b *testing.B) {
	now, keys, answers := time.Now(), newKeyer(), newTestAnswers(b, 100_000)
	p := &trusted{maxTTL: time.Hour}
	tokens := make([]string, 10_000)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("%d-%s", i, strings.Repeat("t", 40))
		answers.keep(keys.of("jira", "corp", "0123456789abcdef0123456789abcdef", tokens[i]), p, &answer{Facts: provider.Facts{Active: true}, at: now}, now)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if answers.lookup(keys.of("jira", "corp", "0123456789abcdef0123456789abcdef", tokens[i%len(tokens)]), p, now) == nil {
			b.Fatal("not there")
		}
		i++
	}
}

// BenchmarkCacheMemory reports what an entry of an ordinary reply costs in a full cache.
func BenchmarkCacheMemory(b *testing.B) {
	const entries = 100_000
	says := func(i int) provider.Facts { // as a reply is read: each name is a text of its own
		text := func(format string) string { return fmt.Sprintf(format, i) }
		return provider.Facts{
			Active: true, ClientID: text("ci-bot-%d"), Username: text("service-account-ci-bot-%d"), Subject: text("f:5b0a:%d"),
			Scopes: []string{strings.Clone("read"), strings.Clone("write"), strings.Clone("admin")}, Audience: []string{strings.Clone("gatehouse"), strings.Clone("jira")},
			Issuer: strings.Clone("https://sso.example.com/realms/corp"), TokenType: strings.Clone("Bearer"),
			ExpiresAt: time.Unix(1_900_000_000, 0), IssuedAt: time.Unix(1_800_000_000, 0),
		}
	}
	for b.Loop() {
		now, keys, answers := time.Now(), newKeyer(), newTestAnswers(b, entries)
		p := &trusted{maxTTL: time.Hour}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range entries {
			answers.keep(keys.of("jira", "corp", "revision", fmt.Sprint(i)), p, &answer{Facts: says(i), at: now}, now)
		}
		answers.active.CleanUp()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(answers.active.EstimatedSize()), "B/entry")
		runtime.KeepAlive(answers)
	}
}
