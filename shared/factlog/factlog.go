package factlog

import (
	"fmt"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// LevelOf gives the level a reader must know to fold a fact.
func LevelOf(fact proto.Message) uint32 {
	level, _ := proto.GetExtension(fact.ProtoReflect().Descriptor().Options(), configv1.E_Level).(uint32)
	return max(level, 1)
}

// UnknownFactError is a fact of a kind this program has never heard of: it was written by a newer one.
type UnknownFactError struct {
	Type string
}

// Error names the type.
func (e *UnknownFactError) Error() string {
	return "fact of a kind this version does not know: " + e.Type
}

// Encode writes facts and their circumstances as one commit; c itself stays as it is.
func Encode(c *configv1.Commit, facts []proto.Message) ([]byte, error) {
	c = proto.CloneOf(c)
	for _, f := range facts {
		packed, err := anypb.New(f)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.ProtoReflect().Descriptor().FullName(), err)
		}
		c.Facts = append(c.Facts, packed)
	}
	data, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	return data, nil
}

// Decode reads a commit and its facts, which are of the kinds that a .proto file describes. For one of another kind the error is
// an *UnknownFactError, and the commit is given all the same.
func Decode(kinds protoreflect.FileDescriptor, data []byte) (*configv1.Commit, []proto.Message, error) {
	c := new(configv1.Commit)
	if err := proto.Unmarshal(data, c); err != nil {
		return nil, nil, fmt.Errorf("decode commit: %w", err)
	}
	facts := make([]proto.Message, 0, len(c.GetFacts()))
	for _, packed := range c.GetFacts() {
		f, err := decodeFact(kinds, packed)
		if err != nil {
			return c, nil, err
		}
		facts = append(facts, f)
	}
	return c, facts, nil
}

func decodeFact(kinds protoreflect.FileDescriptor, packed *anypb.Any) (proto.Message, error) {
	name := packed.MessageName()
	desc := kinds.Messages().ByName(name.Name())
	if desc == nil || desc.FullName() != name {
		return nil, &UnknownFactError{Type: string(name)}
	}
	f, err := packed.UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return f, nil
}

// TypeOf gives a fact's short name, e.g. SiteRegistered.
func TypeOf(fact proto.Message) protoreflect.Name { return fact.ProtoReflect().Descriptor().Name() }
