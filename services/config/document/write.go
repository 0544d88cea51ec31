package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"go.yaml.in/yaml/v4"
)

// Shown gives a configuration as it is shown: a list or map that is empty is there and empty, never null. The
// given one stays as it is.
func Shown(c configlog.Config) configlog.Config {
	out, _ := filled(reflect.ValueOf(c)).Interface().(configlog.Config)
	return out
}

// filled copies a value with every nil slice and map in it made.
func filled(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			out.Field(i).Set(filled(v.Field(i)))
		}
		return out
	case reflect.Slice:
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(filled(v.Index(i)))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for _, key := range v.MapKeys() {
			out.SetMapIndex(key, v.MapIndex(key))
		}
		return out
	default:
		return v
	}
}

// Write encodes anything encoding/json encodes, in either syntax, with the names and the order of the JSON.
func Write(body any, syntax Syntax) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(body); err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	if syntax == JSON {
		return out.Bytes(), nil
	}
	var r jsonReader
	r.tokens = json.NewDecoder(&out)
	r.tokens.UseNumber()
	r.unbounded = true
	v, err := r.value(0)
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	text, err := yaml.Dump(node(v))
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	return text, nil
}

// node gives a value as YAML, in block style where it is not empty.
func node(v value) *yaml.Node {
	switch v.kind {
	case list:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if len(v.items) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, item := range v.items {
			n.Content = append(n.Content, node(item))
		}
		return n
	case object:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if len(v.members) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, m := range v.members {
			n.Content = append(n.Content, node(value{kind: text, text: m.name}), node(m.value))
		}
		return n
	case text:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v.text}
	case number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: v.text}
	case boolean:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: v.text}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
}
