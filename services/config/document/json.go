package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// readJSON reads one JSON text (RFC 8259). The error is a fault.
func readJSON(body []byte) (value, error) {
	if !utf8.Valid(body) {
		return value{}, fault.New(fault.Invalid, "not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil { // refuses what the decoder's tokens would let pass
		return value{}, malformedJSON(body, err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	r := jsonReader{tokens: d}
	return r.value(0)
}

// malformedJSON says where a text ceases to be JSON, in our words: the parser's hold a part of the text.
func malformedJSON(body []byte, err error) error {
	offset := len(body)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = min(offset, int(syntax.Offset))
	}
	before := body[:offset]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := max(1, offset-bytes.LastIndexByte(before, '\n')-1)
	what := "this cannot be here"
	if syntax == nil || offset >= len(body) {
		what = "it ends too early, or is wrong at its very end"
	}
	return fault.Newf(fault.Invalid, "not JSON: line %d, column %d: %s", line, column, what)
}

type jsonReader struct {
	tokens    *json.Decoder
	budget    budget
	unbounded bool // of our own making
}

func (r *jsonReader) value(depth int) (value, error) {
	token, err := r.tokens.Token()
	if err != nil {
		return value{}, failed(err)
	}
	if err := r.budget.spend(depth); err != nil && !r.unbounded {
		return value{}, err
	}
	switch t := token.(type) {
	case nil:
		return value{kind: null}, nil
	case bool:
		return value{kind: boolean, text: fmt.Sprint(t)}, nil
	case json.Number:
		return value{kind: number, text: t.String()}, nil
	case string:
		return value{kind: text, text: t}, nil
	case json.Delim:
		if t == '[' {
			return r.list(depth)
		}
		return r.object(depth)
	default:
		return value{}, fault.New(fault.Invalid, "not JSON")
	}
}

func (r *jsonReader) list(depth int) (value, error) {
	v := value{kind: list}
	for r.tokens.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	_, err := r.tokens.Token()
	return v, failed(err)
}

func (r *jsonReader) object(depth int) (value, error) {
	v := value{kind: object}
	for r.tokens.More() {
		token, err := r.tokens.Token()
		if err != nil {
			return value{}, failed(err)
		}
		name, _ := token.(string)
		item, err := r.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{name: name, value: item})
	}
	_, err := r.tokens.Token()
	return v, failed(err)
}

// failed is for what json.Unmarshal let pass and the decoder does not, which is nothing we know of.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Invalid, "not JSON")
}
