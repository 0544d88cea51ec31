package facts

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// anyConfig draws a configuration from few names, so that two of them have much in common.
func anyConfig(t *rapid.T, label string) configlog.Config {
	c := configlog.Config{}
	fill(t, label, reflect.ValueOf(&c).Elem())
	return c
}

// fill draws every field by reflection, so that a field added to Config is drawn too.
func fill(t *rapid.T, label string, v reflect.Value) {
	switch v.Interface().(type) {
	case configlog.Duration:
		v.SetInt(int64(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 1500 * time.Millisecond}).Draw(t, label)))
		return
	case configlog.Secret:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]configlog.Secret{{}, {Ref: "r", Version: 1, Fingerprint: "f"}, {Ref: "r", Version: 2, Fingerprint: "g"}, {Env: "GATEHOUSE_SECRET_A"}, {File: "f"}}).Draw(t, label)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, label+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, label+".len")
		v.Set(reflect.MakeSlice(v.Type(), 0, n))
		seen := map[string]bool{}
		for i := range n {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(t, fmt.Sprintf("%s[%d]", label, i), item)
			key := keyOf(item)
			if !seen[key] {
				seen[key] = true
				v.Set(reflect.Append(v, item))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 3).Draw(t, label+".len") {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(t, label, item)
			v.SetMapIndex(reflect.ValueOf(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label)), item)
		}
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, label))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.SampledFrom([]uint64{0, 1, 7}).Draw(t, label))
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label))
	default:
		t.Fatalf("%s: a %s", label, v.Kind())
	}
}

func keyOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case configlog.Site:
		return x.ID
	case configlog.Provider:
		return x.ID
	case configlog.Node:
		return x.ID
	default:
		return fmt.Sprint(x)
	}
}

// canonical orders what has no order.
func canonical(c configlog.Config) configlog.Config {
	c = document.Shown(c) // a copy
	slices.SortFunc(c.Sites, func(a, b configlog.Site) int { return cmp.Compare(a.ID, b.ID) })
	for i := range c.Sites {
		s := &c.Sites[i]
		slices.SortFunc(s.Nodes, func(a, b configlog.Node) int { return cmp.Compare(a.ID, b.ID) })
		slices.Sort(s.IP.Allow)
		slices.Sort(s.Bypass)
		slices.Sort(s.PublicRestricted)
	}
	return c
}

// folded gives what the facts make of a configuration.
func folded(t interface{ Fatal(...any) }, from configlog.Config, facts []proto.Message) configlog.Config {
	f := configlog.Folded{Config: document.Shown(from)}
	for _, fact := range facts {
		// as a follower gets it
		data, err := factlog.Encode(&configv1.Commit{}, []proto.Message{fact})
		if err != nil {
			t.Fatal(err)
		}
		_, decoded, err := configlog.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Fold(decoded[0]); err != nil {
			t.Fatal(err)
		}
	}
	return f.Config
}

func TestDiffIsTheInverseOfFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyConfig(t, "a"), anyConfig(t, "b")
		was := document.Shown(a)
		d := Diff(a, b)
		if diff := gocmp.Diff(canonical(b), canonical(folded(t, a, d))); diff != "" {
			t.Fatalf("fold(a, Diff(a, b)) is not b:\n%s\nby %v", diff, d)
		}
		if diff := gocmp.Diff(was, document.Shown(a)); diff != "" {
			t.Fatalf("Diff changed a:\n%s", diff)
		}
		if again := Diff(b, b); len(again) > 0 {
			t.Fatalf("Diff(b, b) is %v", again)
		}
		if again := Diff(folded(t, a, d), b); len(again) > 0 {
			t.Fatalf("what has become b differs from b by %v", again)
		}
	})
}

func TestOrderOfProvidersCounts(t *testing.T) {
	t.Parallel()
	site := func(ids ...string) configlog.Config {
		s := configlog.Site{ID: "a", Product: "jira"}
		for _, id := range ids {
			s.Providers = append(s.Providers, configlog.Provider{ID: id})
		}
		return configlog.Config{Sites: []configlog.Site{s}}
	}
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"a", "b", "c", "d"}
		from := site(rapid.Permutation(ids).Draw(t, "from")[:rapid.IntRange(0, 4).Draw(t, "n")]...)
		to := site(rapid.Permutation(ids).Draw(t, "to")[:rapid.IntRange(0, 4).Draw(t, "m")]...)
		got := folded(t, from, Diff(from, to))
		if diff := gocmp.Diff(document.Shown(to), document.Shown(got)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func read(t *testing.T, path string) configlog.Config {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, problems := document.Read(body, document.YAML)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	document.EachSecret(&d.Config, func(p document.Place, s configlog.Secret) configlog.Secret {
		if _, given := d.Plain[p.Path]; given {
			return configlog.Secret{Ref: "ref-of-" + p.Site + p.Provider + p.Account, Version: 1, Fingerprint: "f1"}
		}
		return s
	})
	return d.Config
}

// TestGolden: the facts of the documented document's first day, and of a documented change to it.
func TestGolden(t *testing.T) {
	t.Parallel()
	first, second := read(t, "../document/testdata/example.yaml"), read(t, "testdata/change.yaml")
	for path, d := range map[string][]proto.Message{
		"testdata/first.golden":  Diff(configlog.Config{}, first),
		"testdata/change.golden": Diff(first, second),
		"testdata/undo.golden":   Diff(second, first),
		"testdata/gone.golden":   Diff(first, configlog.Config{}),
	} {
		shown, err := Show(d)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, s := range shown {
			fmt.Fprintf(&text, "%s\n    %s %s\n", s.Summary, s.Type, s.Data)
		}
		if *update {
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), text.String()); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}

func TestEveryFactIsShown(t *testing.T) {
	t.Parallel()
	messages := configv1.File_config_v1_facts_proto.Messages()
	for i := range messages.Len() {
		m := messages.Get(i)
		kind, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
		if err != nil {
			t.Fatal(err)
		}
		shown, err := Show([]proto.Message{kind.New().Interface()})
		if err != nil || shown[0].Summary == "" || !json.Valid(shown[0].Data) {
			t.Errorf("%s: %v %v", m.Name(), shown, err)
		}
	}
}
