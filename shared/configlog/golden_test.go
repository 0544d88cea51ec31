package configlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

var update = flag.Bool("update", false, "add the golden files that are missing; none is ever rewritten")

// before is what must have happened for a fact to mean something; every fact about a site has its registration too.
func before(name protoreflect.Name) []proto.Message {
	one := &configv1.SiteRegistered{Site: "jira", Product: "jira"}
	switch name {
	case "SiteRegistered", "RetentionSet", "AdminTokenIssued":
		return nil
	case "SiteRemoved":
		return []proto.Message{one, &configv1.SiteRegistered{Site: "wiki", Product: "confluence"}}
	case "NodeDetached", "NodeDrained":
		return []proto.Message{one, &configv1.NodeAttached{Site: "jira", Node: "a node"}, &configv1.NodeAttached{Site: "jira", Node: "n2"}}
	case "ProviderDistrusted":
		return []proto.Message{
			one, &configv1.ProviderTrusted{Site: "jira", Provider: &configv1.Provider{Id: "corp"}},
			&configv1.ProviderTrusted{Site: "jira", Provider: &configv1.Provider{Id: "okta"}},
		}
	case "UpstreamAccountRemoved":
		return []proto.Message{
			one, &configv1.UpstreamAccountSet{Site: "jira", Account: "a account"},
			&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: &configv1.Secret{Env: "GATEHOUSE_SECRET_X"}},
		}
	case "IpRangeWithdrawn":
		return []proto.Message{one, &configv1.IpRangeAllowed{Site: "jira", Range: "a range"}, &configv1.IpRangeAllowed{Site: "jira", Range: "::1/128"}}
	case "PublicApiReleased":
		return []proto.Message{one, &configv1.PublicApiRestricted{Site: "jira", Pattern: "a pattern"}, &configv1.PublicApiRestricted{Site: "jira", Pattern: "/b"}}
	case "ApiBypassEnded":
		return []proto.Message{one, &configv1.ApiBypassed{Site: "jira", Pattern: "a pattern"}, &configv1.ApiBypassed{Site: "jira", Pattern: "/b"}}
	case "AdminTokenRevoked":
		return []proto.Message{&configv1.AdminTokenIssued{Name: "a name", Role: "admin"}, &configv1.AdminTokenIssued{Name: "ci", Role: "auditor"}}
	default:
		return []proto.Message{one}
	}
}

// fold folds facts into an empty log.
func fold(facts []proto.Message) (configlog.Folded, error) {
	var f configlog.Folded
	for _, fact := range facts {
		if err := f.Fold(fact); err != nil {
			return f, err
		}
	}
	return f, nil
}

// TestWhatWasEverStoredStillMeansTheSame reads a stored commit of every type of fact. A fact that was ever shipped
// stays in logs for ever, so no file here is ever changed; -update adds those of a new type.
func TestWhatWasEverStoredStillMeansTheSame(t *testing.T) {
	t.Parallel()
	shipped := map[string]bool{}
	for _, fact := range factTypes() {
		name := fact.Descriptor().Name()
		shipped[string(name)] = true
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", "events", string(name))
			if *update {
				add(t, path+".pb", func() []byte { return stored(t, append(before(name), sample(fact))) })
			}
			data := golden(t, path+".pb")
			_, facts, err := configlog.Decode(data)
			if err != nil {
				t.Fatalf("a stored commit no longer decodes: %v", err)
			}
			if got := factlog.TypeOf(facts[len(facts)-1]); got != name {
				t.Fatalf("ends in %s", got)
			}
			got, err := fold(facts)
			if err != nil {
				t.Fatalf("a stored commit no longer folds: %v", err)
			}
			if *update {
				add(t, path+".json", func() []byte { return readable(t, got) })
			}
			var want configlog.Folded
			strict := json.NewDecoder(bytes.NewReader(golden(t, path+".json")))
			strict.DisallowUnknownFields()
			if err := strict.Decode(&want); err != nil {
				t.Fatalf("the state no longer has a field it had: %v", err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("a stored commit means something else now (-then +now):\n%s", diff)
			}
		})
	}
	files, err := filepath.Glob("testdata/events/*.pb")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".pb"); !shipped[name] {
			t.Errorf("%s was shipped once and is no longer known", name)
		}
	}
}

func stored(t *testing.T, facts []proto.Message) []byte {
	t.Helper()
	data, err := factlog.Encode(&configv1.Commit{
		Who: &configv1.Actor{Name: "bootstrap", Role: "admin", Address: "127.0.0.1"}, Why: "golden file",
		At: &timestamppb.Timestamp{Seconds: 1_800_000_000}, RequestId: "golden",
	}, facts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// add writes a file that is not there yet.
func add(t *testing.T, path string, data func() []byte) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := os.WriteFile(path, data(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("no golden file; go test ./configlog -update adds it: %v", err)
	}
	return data
}

// readable gives the state as JSON without what is zero, so that a field that comes later is in no old file.
func readable(t *testing.T, f configlog.Folded) []byte {
	t.Helper()
	var all any
	data, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err == nil {
		data, err = json.MarshalIndent(prune(all), "", "  ")
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// prune gives v without what is zero, nil when nothing is left. Entries of lists stay.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = prune(value); v[key] == nil {
				delete(v, key)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			if kept := prune(v[i]); kept != nil {
				v[i] = kept
			}
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || v == "0s" || v == "0001-01-01T00:00:00Z" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	}
	return v
}
