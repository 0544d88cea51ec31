package configlog_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

func TestDecodeGivesWhatEncodeWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Custom(drawFact), 0, 5).Draw(t, "facts")
		commit := &configv1.Commit{
			Who: &configv1.Actor{Name: rapid.String().Draw(t, "name")}, Why: rapid.String().Draw(t, "why"),
			At: timestamppb.Now(), RequestId: rapid.String().Draw(t, "request"),
		}
		data, err := factlog.Encode(commit, facts)
		if err != nil {
			t.Fatal(err)
		}
		again, err := factlog.Encode(commit, facts)
		if err != nil || len(again) != len(data) || len(commit.GetFacts()) != 0 {
			t.Fatalf("encoding has changed the commit: %v", commit)
		}
		gotCommit, got, err := configlog.Decode(data)
		if err != nil || len(got) != len(facts) {
			t.Fatalf("%d facts, %v; want %d", len(got), err, len(facts))
		}
		for i := range facts {
			if !proto.Equal(got[i], facts[i]) {
				t.Fatalf("got %v, want %v", got[i], facts[i])
			}
		}
		if gotCommit.Facts = nil; !proto.Equal(gotCommit, commit) {
			t.Fatalf("got %v, want %v", gotCommit, commit)
		}
	})
}

func TestAFactOfANewerKindIsNamed(t *testing.T) {
	t.Parallel()
	duration, err := anypb.New(durationpb.New(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []*anypb.Any{
		duration,
		{TypeUrl: "type.googleapis.com/gatehouse.config.v1.MoonPhaseSet"},
		{TypeUrl: "x"},
		{},
		{TypeUrl: "type.googleapis.com/gatehouse.config.v1.GatewayBeat"},
		{TypeUrl: "type.googleapis.com/other.SiteRegistered"},
	} {
		data, err := proto.Marshal(&configv1.Commit{Facts: []*anypb.Any{foreign}, Why: "tests"})
		if err != nil {
			t.Fatal(err)
		}
		commit, facts, err := configlog.Decode(data)
		var unknown *factlog.UnknownFactError
		if !errors.As(err, &unknown) || unknown.Type != string(foreign.MessageName()) || facts != nil || commit.GetWhy() != "tests" {
			t.Errorf("%q: %v, %v, %v", foreign.GetTypeUrl(), commit, facts, err)
		}
	}
}

func TestAFactThatIsDamagedIsNotUnknown(t *testing.T) {
	t.Parallel()
	data, err := proto.Marshal(&configv1.Commit{Facts: []*anypb.Any{{TypeUrl: "type.googleapis.com/gatehouse.config.v1.ModeSet", Value: []byte{0xff}}}})
	if err != nil {
		t.Fatal(err)
	}
	var unknown *factlog.UnknownFactError
	if _, _, err := configlog.Decode(data); err == nil || errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
}

func TestTheLevelOfAFactIsItsOptionOrOne(t *testing.T) {
	t.Parallel()
	file := protodesc.ToFileDescriptorProto(configv1.File_config_v1_facts_proto)
	newer := &descriptorpb.MessageOptions{}
	proto.SetExtension(newer, configv1.E_Level, uint32(3))
	file.Name = proto.String("newer.proto")
	file.Package = proto.String("newer")
	file.MessageType = []*descriptorpb.DescriptorProto{{Name: proto.String("Newer"), Options: newer}, {Name: proto.String("Plain")}}
	desc, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[protoreflect.Name]uint32{"Newer": 3, "Plain": 1} {
		if got := factlog.LevelOf(dynamicpb.NewMessage(desc.Messages().ByName(name))); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestNoFactIsAboveTheLevelOfThisProgram(t *testing.T) {
	t.Parallel()
	for _, fact := range factTypes() {
		if level := factlog.LevelOf(fact.New().Interface()); level > configlog.FactLevel {
			t.Errorf("%s has level %d: raise FactLevel", fact.Descriptor().Name(), level)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/events/*.pb")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(nil))
	f.Add([]byte("\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, facts, err := configlog.Decode(data)
		if err != nil {
			return
		}
		var state configlog.Folded
		for _, fact := range facts {
			_ = factlog.LevelOf(fact)
			before := text(t, state.Freeze())
			if err := state.Fold(fact); err != nil && text(t, state) != before {
				t.Fatalf("%v has left something behind", err)
			}
		}
	})
}
