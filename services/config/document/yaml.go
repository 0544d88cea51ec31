package document

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// readYAML reads one YAML document. The error is a fault.
func readYAML(body []byte) (v value, err error) {
	if !utf8.Valid(body) {
		return value{}, fault.New(fault.Invalid, "not UTF-8")
	}
	defer func() { // the parser is large and not ours
		if p := recover(); p != nil {
			v, err = value{}, fault.Wrap(fault.Invalid, "not YAML", fmt.Errorf("parser: %v", p))
		}
	}()
	var root yaml.Node
	if err := yaml.Load(body, &root, yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth+2)))); err != nil {
		return value{}, malformedYAML(err)
	}
	r := new(yamlReader)
	return r.value(&root, 0)
}

// malformedYAML says where a text ceases to be YAML, in our words. The parser's may hold any part of the text, and
// so of a secret: for "value: *hunter2" it names the alias.
func malformedYAML(err error) error {
	var one *yaml.LoadError
	if !errors.As(err, &one) {
		return fault.New(fault.Invalid, "not one YAML document")
	}
	return fault.Newf(fault.Invalid, "not YAML: line %d, column %d: %s", max(1, one.Mark.Line), max(1, one.Mark.Column), whatIsWrong(one.Message))
}

// whatIsWrong puts what the parser found into our words; it knows the parser's by how they begin.
func whatIsWrong(parser string) string {
	for _, known := range [...]struct{ begins, ours string }{
		{"yaml: expected single document", "a second document: --- may stand only at the beginning"},
		{"yaml: no documents in stream", "there is nothing in it"},
		{"exceeded max depth", "nested too deep"},
		{"did not find expected node content", "a value is missing, or begins with a character that none begins with"},
		{"unknown anchor", "an alias (*name) of something that has no anchor: put text that begins with * in quotes"},
		{"found character that cannot start any token", "a character that no value begins with: put text that begins with @, ` or % in quotes"},
		{"found a tab character", "a tab where spaces are needed"},
		{"found unexpected end of stream", "a quote that is never closed"},
		{"mapping values are not allowed", "a colon where no value can be: put text with a colon in quotes"},
		{"could not find expected ':'", "a key without a colon"},
		{"did not find expected key", "neither a key nor the end of the object: is the indentation right?"},
		{"did not find expected '-' indicator", "neither an item nor the end of the list: is the indentation right?"},
		{"did not find expected ',' or", "neither a comma nor a closing bracket"},
		{"did not find expected alphabetic", "an anchor or alias without a name: put text that begins with & or * in quotes"},
	} {
		if strings.HasPrefix(parser, known.begins) {
			return known.ours
		}
	}
	return "it cannot be read from here on"
}

type yamlReader struct{ budget budget }

func (r *yamlReader) value(n *yaml.Node, depth int) (value, error) {
	if err := r.budget.spend(depth); err != nil {
		return value{}, err
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return value{kind: null}, nil
		}
		return r.value(n.Content[0], depth)
	case yaml.AliasNode:
		return r.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		v := value{kind: list}
		for _, item := range n.Content {
			one, err := r.value(item, depth+1)
			if err != nil {
				return value{}, err
			}
			v.items = append(v.items, one)
		}
		return v, nil
	case yaml.MappingNode:
		return r.object(n, depth)
	case yaml.ScalarNode:
		return scalar(n)
	default:
		return value{kind: null}, nil
	}
}

func (r *yamlReader) object(n *yaml.Node, depth int) (value, error) {
	v := value{kind: object}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			return value{}, fault.Newf(fault.Invalid, "line %d: a key is plain text here, no list, object, alias or <<", key.Line)
		}
		item, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{name: key.Value, value: item})
	}
	return v, nil
}

func scalar(n *yaml.Node) (value, error) {
	switch n.ShortTag() {
	case "!!null":
		return value{kind: null}, nil
	case "!!bool":
		return value{kind: boolean, text: n.Value}, nil
	case "!!int", "!!float":
		return value{kind: number, text: n.Value}, nil
	case "!!str", "!!timestamp": // a date is text here
		return value{kind: text, text: n.Value}, nil
	default:
		return value{}, fault.Newf(fault.Invalid, "line %d: a value with a tag of its own", n.Line)
	}
}
