package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Shown is a fact as the admin API shows it.
type Shown struct {
	Type    string          `json:"type"`
	Summary string          `json:"summary"`
	Data    json.RawMessage `json:"data"`
}

// Show gives facts as the admin API shows them; never null.
func Show(facts []proto.Message) ([]Shown, error) {
	out := make([]Shown, 0, len(facts))
	for _, f := range facts {
		name := string(factlog.TypeOf(f))
		loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("show %s: %w", name, err)
		}
		var data bytes.Buffer // protojson puts blanks where it likes
		if err := json.Compact(&data, loose); err != nil {
			return nil, fmt.Errorf("show %s: %w", name, err)
		}
		out = append(out, Shown{Type: name, Summary: summary(f.ProtoReflect()), Data: data.Bytes()})
	}
	return out, nil
}

// Types gives the short names of facts, each once, in the order they first come.
func Types(facts []proto.Message) []string {
	out := []string{}
	seen := map[string]bool{}
	for _, f := range facts {
		name := string(factlog.TypeOf(f))
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// summary says a fact in one line: "jira: ip range allowed, range 10.0.0.0/8".
func summary(m protoreflect.Message) string {
	var parts []string
	site := ""
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Name() == "site":
			site = m.Get(f).String() + ": "
		case f.Kind() == protoreflect.BytesKind:
		default:
			parts = append(parts, label(f)+" "+shown(f, m.Get(f)))
		}
	}
	return strings.Join(append([]string{site + words(string(m.Descriptor().Name()))}, parts...), ", ")
}

func label(f protoreflect.FieldDescriptor) string {
	return strings.ReplaceAll(string(f.Name()), "_", " ")
}

// shown gives a field's value; a message by its id, or as a length of time or a moment, and otherwise not.
func shown(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case f.IsList():
		items := make([]string, 0, v.List().Len())
		for i := range v.List().Len() {
			if item := v.List().Get(i); f.Kind() == protoreflect.MessageKind {
				items = append(items, message(item.Message()))
			} else {
				items = append(items, item.String())
			}
		}
		return "[" + strings.Join(items, " ") + "]"
	case f.Kind() == protoreflect.MessageKind:
		return message(v.Message())
	case f.Kind() == protoreflect.StringKind:
		if v.String() == "" {
			return "none"
		}
		return v.String()
	default:
		return v.String()
	}
}

func message(m protoreflect.Message) string {
	text := func(name protoreflect.Name) string { return m.Get(m.Descriptor().Fields().ByName(name)).String() }
	switch m.Descriptor().FullName() {
	case "google.protobuf.Duration":
		loose, err := protojson.Marshal(m.Interface())
		if err != nil || !m.IsValid() {
			return "0s"
		}
		return strings.Trim(string(loose), `"`)
	case "google.protobuf.Timestamp":
		loose, err := protojson.Marshal(m.Interface())
		if err != nil || !m.IsValid() {
			return "never"
		}
		return strings.Trim(string(loose), `"`)
	case "gatehouse.config.v1.Test":
		return strconv.Quote(text("name"))
	case "gatehouse.config.v1.Provider":
		return text("id")
	case "gatehouse.config.v1.Secret":
		switch {
		case text("ref") != "":
			return text("ref") + " version " + text("version")
		case text("env") != "":
			return "from variable " + text("env")
		case text("file") != "":
			return "from file " + strconv.Quote(text("file"))
		}
		return "none"
	default:
		return "…"
	}
}

// words gives "ip range allowed" for IpRangeAllowed.
func words(name string) string {
	var out strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				out.WriteByte(' ')
			}
			c += 'a' - 'A'
		}
		out.WriteRune(c)
	}
	return out.String()
}
