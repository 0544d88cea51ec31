package configlog_test

import (
	"math"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// factTypes are the messages of facts.proto that no other holds.
func factTypes() []protoreflect.MessageType {
	all := configv1.File_config_v1_facts_proto.Messages()
	part := map[protoreflect.FullName]bool{}
	for i := range all.Len() {
		fields := all.Get(i).Fields()
		for j := range fields.Len() {
			if held := fields.Get(j).Message(); held != nil {
				part[held.FullName()] = true
			}
		}
	}
	var facts []protoreflect.MessageType
	for i := range all.Len() {
		if name := all.Get(i).FullName(); !part[name] {
			facts = append(facts, must(protoregistry.GlobalTypes.FindMessageByName(name)))
		}
	}
	return facts
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sample gives a fact of a type with every field set.
func sample(fact protoreflect.MessageType) proto.Message {
	m := fact.New()
	fill(m, func(fd protoreflect.FieldDescriptor) protoreflect.Value {
		switch fd.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true)
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(7)
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(7_000_000_000)
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte(strings.Repeat("7", 32)))
		default:
			return protoreflect.ValueOfString(words(fd)[0])
		}
	}, func(fd protoreflect.FieldDescriptor) proto.Message {
		if fd.Message().FullName() == "google.protobuf.Timestamp" {
			return timestamppb.New(time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC))
		}
		return durationpb.New(90 * time.Minute)
	}, func(protoreflect.FieldDescriptor) int { return 1 })
	return m.Interface()
}

// words are the texts that a field may have: few, so that facts meet.
func words(fd protoreflect.FieldDescriptor) []string {
	switch {
	case fd.Name() == "site":
		return []string{"jira", "wiki"}
	case fd.Name() == "id", strings.HasSuffix(string(fd.Parent().Name()), "Distrusted") && fd.Name() == "provider":
		return []string{"corp", "okta"}
	default:
		return []string{"a " + string(fd.Name()), "another " + string(fd.Name()), ""}
	}
}

// fill sets every field of a message. scalar, wellKnown (a duration or a time) and length (of a list; 0 leaves a
// message out) say to what.
func fill(m protoreflect.Message, scalar func(protoreflect.FieldDescriptor) protoreflect.Value,
	wellKnown func(protoreflect.FieldDescriptor) proto.Message, length func(protoreflect.FieldDescriptor) int,
) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range length(fd) {
				if fd.Message() == nil {
					list.Append(scalar(fd))
					continue
				}
				fill(list.AppendMutable().Message(), scalar, wellKnown, length)
			}
		case fd.Message() == nil:
			m.Set(fd, scalar(fd))
		case length(fd) == 0:
		case isWellKnown(fd):
			m.Set(fd, protoreflect.ValueOfMessage(wellKnown(fd).ProtoReflect()))
		default:
			fill(m.Mutable(fd).Message(), scalar, wellKnown, length)
		}
	}
}

func isWellKnown(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().ParentFile().Package() == "google.protobuf"
}

// drawFact draws any fact that config could write.
func drawFact(t *rapid.T) proto.Message {
	return drawOf(t, rapid.SampledFrom(factTypes()).Draw(t, "fact"))
}

func drawOf(t *rapid.T, fact protoreflect.MessageType) proto.Message {
	m := fact.New()
	fill(m, func(fd protoreflect.FieldDescriptor) protoreflect.Value {
		switch fd.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "uint32"))
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "uint64"))
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "bytes"))
		default:
			return protoreflect.ValueOfString(rapid.SampledFrom(words(fd)).Draw(t, "text"))
		}
	}, func(fd protoreflect.FieldDescriptor) proto.Message {
		if fd.Message().FullName() == "google.protobuf.Timestamp" {
			return timestamppb.New(time.Unix(rapid.Int64Range(0, 253_402_300_799).Draw(t, "time"), 0)) // to year 9999
		}
		return durationpb.New(time.Duration(rapid.Int64Range(math.MinInt64, math.MaxInt64).Draw(t, "duration")))
	}, func(protoreflect.FieldDescriptor) int { return rapid.IntRange(0, 3).Draw(t, "length") })
	return m.Interface()
}

// leaves visits a copy of a fact for each field at whatever depth, without that field.
func leaves(fact proto.Message, visit func(path string, without proto.Message)) {
	var walk func(prefix string, of func(proto.Message) protoreflect.Message)
	walk = func(prefix string, of func(proto.Message) protoreflect.Message) {
		fields := of(fact).Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			path := prefix + string(fd.Name())
			if fd.Message() != nil && !isWellKnown(fd) {
				walk(path+".", func(m proto.Message) protoreflect.Message {
					if v := of(m).Get(fd); fd.IsList() {
						return v.List().Get(0).Message()
					}
					return of(m).Get(fd).Message()
				})
				continue
			}
			without := proto.Clone(fact)
			of(without).Clear(fd)
			visit(path, without)
		}
	}
	walk("", func(m proto.Message) protoreflect.Message { return m.ProtoReflect() })
}

func TestThereAreFacts(t *testing.T) {
	t.Parallel()
	if n := len(factTypes()); n < 38 {
		t.Fatalf("%d types of facts found", n)
	}
}
