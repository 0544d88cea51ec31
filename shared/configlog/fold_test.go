package configlog_test

import (
	"encoding/json"
	"errors"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

// TestEveryFieldOfEveryFactCounts leaves out one field at a time and looks for a difference: a field that the
// fold forgets would make none.
func TestEveryFieldOfEveryFactCounts(t *testing.T) {
	t.Parallel()
	for _, fact := range factTypes() {
		whole := sample(fact)
		name := factlog.TypeOf(whole)
		want, err := fold(append(before(name), whole))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leaves(whole, func(path string, without proto.Message) {
			got, err := fold(append(before(name), without))
			if err == nil && cmp.Equal(got, want) {
				t.Errorf("%s without %s makes no difference", name, path)
			}
		})
	}
}

func TestTheSameFactAgainChangesNothing(t *testing.T) {
	t.Parallel()
	for _, fact := range factTypes() {
		name := fact.Descriptor().Name()
		once, err := fold(append(before(name), sample(fact)))
		if err != nil {
			t.Fatal(err)
		}
		if name == "SiteRegistered" || name == "SiteRemoved" {
			continue
		}
		twice, err := fold(append(before(name), sample(fact), sample(fact)))
		if err != nil || !cmp.Equal(once, twice) {
			t.Errorf("%s: %v, %s", name, err, cmp.Diff(once, twice))
		}
	}
}

func TestASiteThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	for _, facts := range [][]proto.Message{
		{&configv1.ModeSet{Site: "wiki", Mode: "observe"}},
		{registered("wiki"), &configv1.SiteRemoved{Site: "wiki"}, &configv1.ModeSet{Site: "wiki", Mode: "observe"}},
		{registered("wiki"), registered("wiki")},
	} {
		if _, err := fold(facts); err == nil {
			t.Errorf("folded %v", facts)
		}
	}
}

func TestWhatIsNoFactIsRefused(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{&configv1.Secret{Ref: "x"}, &configv1.Provider{Id: "x"}, &configv1.GatewayBeat{}, durationpb.New(1)} {
		_, err := fold([]proto.Message{m})
		var unknown *factlog.UnknownFactError
		if !errors.As(err, &unknown) || unknown.Type != string(m.ProtoReflect().Descriptor().FullName()) {
			t.Errorf("got %v", err)
		}
	}
}

// TestAFrozenSnapshotNeverChanges folds commits as a Follower does, and looks at the end whether each Snapshot on
// the way still says what it said.
func TestAFrozenSnapshotNeverChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type snapshot struct {
			folded configlog.Folded
			text   string
		}
		var snapshots []snapshot
		f, err := fold([]proto.Message{registered("jira"), registered("wiki")})
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "commits") {
			next := f.Freeze()
			for range rapid.IntRange(1, 5).Draw(t, "facts") {
				if err = next.Fold(drawFact(t)); err != nil {
					break
				}
			}
			if err != nil {
				continue // the Follower drops what it began
			}
			f = next
			snapshots = append(snapshots, snapshot{f, text(t, f)})
		}
		for i, s := range snapshots {
			if now := text(t, s.folded); now != s.text {
				t.Fatalf("snapshot %d of %d has changed: %s", i, len(snapshots), cmp.Diff(s.text, now))
			}
		}
	})
}

func TestAProviderSurvivesTheWayIntoAFactAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawOf(t, (&configv1.ProviderTrusted{}).ProtoReflect().Type())
		trusted := func(p *configv1.Provider) configlog.Provider {
			f, err := fold([]proto.Message{registered("jira"), &configv1.ProviderTrusted{Site: "jira", Provider: p}})
			if err != nil {
				t.Fatal(err)
			}
			return f.Config.Site("jira").Providers[0]
		}
		once := trusted(drawn.(*configv1.ProviderTrusted).GetProvider())
		if diff := cmp.Diff(once, trusted(once.Proto())); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWhatIsNotThereIsNil(t *testing.T) {
	t.Parallel()
	f, err := fold([]proto.Message{registered("jira"), &configv1.ProviderTrusted{Site: "jira", Provider: &configv1.Provider{Id: "corp"}}})
	if err != nil {
		t.Fatal(err)
	}
	site := f.Config.Site("jira")
	if f.Config.Site("wiki") != nil || site.Provider("okta") != nil || site.Provider("corp") == nil {
		t.Error("found what is not there, or not what is")
	}
	none, env, sealed := configlog.Secret{}, configlog.Secret{Env: "X"}, configlog.Secret{Ref: "a", Version: 2}
	if none.Key() != "" || none.Proto() != nil || env.Key() != "" || sealed.Key() != "a.2" {
		t.Error("keys of secrets")
	}
}

func text(t interface{ Fatal(...any) }, f configlog.Folded) string {
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
