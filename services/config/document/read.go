package document

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Syntax of a document.
type Syntax string

// The syntaxes.
const (
	JSON Syntax = "json"
	YAML Syntax = "yaml"
)

// Draft is a document that was read: every field that was named, and defaults for the rest. A secret whose
// value the document holds is in Plain under the Key of its Place, and is still zero in Config.
type Draft struct {
	Config configlog.Config
	Plain  map[string]Plain
	// Warnings are about what was written but has no place in Config.
	Warnings []fault.Problem
}

// maxProblems is how many problems an answer names.
const maxProblems = 500

// Read reads a document. When there are problems the Draft holds what could be read, so that Check can find
// more; problems in a document that is malformed, or no object, come with a nil Draft.
func Read(body []byte, syntax Syntax) (*Draft, []fault.Problem) {
	root, err := read(body, syntax)
	if err != nil {
		return nil, []fault.Problem{{Message: fault.From(err).Message}}
	}
	if root.kind != object {
		return nil, []fault.Problem{{Message: "the document is an object with sites and audit, not " + root.kind.String()}}
	}
	return newDraft(root)
}

func newDraft(root value) (*Draft, []fault.Problem) {
	d := &Draft{Config: Default(), Plain: map[string]Plain{}}
	r := reader{plain: d.Plain}
	r.into("", root, reflect.ValueOf(&d.Config).Elem())
	d.Warnings = complete(&d.Config)
	return d, r.problems
}

// ReadBeside reads a small body as ReadInto does, and the document that is its member of that name; nil: it has none.
func ReadBeside(body []byte, syntax Syntax, name string, out any) (d *Draft, problems []fault.Problem) {
	root, err := read(body, syntax)
	if err != nil {
		return nil, []fault.Problem{{Message: fault.From(err).Message}}
	}
	i := slices.IndexFunc(root.members, func(m member) bool { return m.name == name })
	if i >= 0 && root.members[i].value.kind != null {
		v := root.members[i].value
		if v.kind != object {
			return nil, []fault.Problem{{Path: name, Message: "must be an object, not " + v.kind.String()}}
		}
		root.members = slices.Delete(root.members, i, i+1)
		if d, problems = newDraft(v); len(problems) > 0 {
			problems = Under(name, problems)
		}
	}
	var r reader
	r.into("", root, reflect.ValueOf(out).Elem())
	return d, append(problems, r.problems...)
}

// Under gives problems of a part of a document as problems of the whole.
func Under(name string, problems []fault.Problem) []fault.Problem {
	all := slices.Clone(problems)
	for i := range all {
		if all[i].Path == "" {
			all[i].Path = name
		} else {
			all[i].Path = name + "." + all[i].Path
		}
	}
	return all
}

func read(body []byte, syntax Syntax) (value, error) {
	if syntax == YAML {
		return readYAML(body)
	}
	return readJSON(body)
}

// ReadInto reads a small JSON or YAML body into a struct of texts, numbers and switches, as strictly.
func ReadInto(body []byte, syntax Syntax, out any) []fault.Problem {
	root, err := read(body, syntax)
	if err != nil {
		return []fault.Problem{{Message: fault.From(err).Message}}
	}
	var r reader
	r.into("", root, reflect.ValueOf(out).Elem())
	return r.problems
}

// reader lays a tree over a Go value that holds the defaults.
type reader struct {
	problems []fault.Problem
	plain    map[string]Plain
}

func (r *reader) problem(path, format string, args ...any) {
	r.problems = note(r.problems, path, format, args)
}

func (r *reader) into(path string, v value, out reflect.Value) {
	if v.kind == null {
		return
	}
	switch out.Interface().(type) {
	case configlog.Secret:
		r.secret(path, v, out)
		return
	case configlog.Duration:
		r.duration(path, v, out)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		r.into(path, v, out.Elem())
	case reflect.Struct:
		r.object(path, v, out)
	case reflect.Slice:
		r.list(path, v, out)
	case reflect.Map:
		r.mapping(path, v, out)
	case reflect.Bool:
		if r.want(path, v, boolean) {
			r.boolean(path, v, out)
		}
	case reflect.Uint32, reflect.Uint64:
		if r.want(path, v, number) {
			r.number(path, v, out)
		}
	case reflect.String:
		if r.want(path, v, text) {
			r.text(path, v, out)
		}
	default:
		r.problem(path, "cannot be set")
	}
}

// want tells whether v is of a kind, and says so when it is not. It does not repeat v: it may be a secret in
// the wrong place.
func (r *reader) want(path string, v value, k kind) bool {
	if v.kind == k {
		return true
	}
	hint := ""
	if k == text && (v.kind == number || v.kind == boolean) {
		hint = ": put it in quotes"
	}
	r.problem(path, "must be %s, not %s%s", k, v.kind, hint)
	return false
}

func (r *reader) object(path string, v value, out reflect.Value) {
	if !r.want(path, v, object) {
		return
	}
	fields := make(map[string]int, out.NumField())
	for i := range out.NumField() {
		name, _, _ := strings.Cut(out.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	seen := make(map[string]bool, len(v.members))
	for _, m := range v.members {
		i, known := fields[m.name]
		switch {
		case !known:
			r.problem(under(path, m.name), "unknown field")
		case seen[m.name]:
			r.problem(under(path, m.name), "is there twice")
		default:
			r.into(under(path, m.name), m.value, out.Field(i))
		}
		seen[m.name] = true
	}
}

func (r *reader) list(path string, v value, out reflect.Value) {
	if !r.want(path, v, list) {
		return
	}
	items := reflect.MakeSlice(out.Type(), len(v.items), len(v.items))
	for i, item := range v.items {
		switch out := items.Index(i).Addr().Interface().(type) {
		case *configlog.Site:
			*out = DefaultSite()
		case *configlog.Provider:
			*out = DefaultProvider()
		}
		r.into(at(path, i), item, items.Index(i))
	}
	out.Set(items)
}

func (r *reader) mapping(path string, v value, out reflect.Value) {
	if !r.want(path, v, object) {
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(v.members))
	for _, item := range v.members {
		if len(item.name) > maxLine { // it would stand in the path of all that is below
			r.problem(under(path, item.name), "is a name of more than %d bytes", maxLine)
			continue
		}
		key := reflect.ValueOf(item.name)
		if m.MapIndex(key).IsValid() {
			r.problem(under(path, item.name), "is there twice")
			continue
		}
		one := reflect.New(out.Type().Elem()).Elem()
		r.into(under(path, item.name), item.value, one)
		m.SetMapIndex(key, one)
	}
	out.Set(m)
}

func (r *reader) boolean(path string, v value, out reflect.Value) {
	switch v.text {
	case "true", "True", "TRUE": // YAML 1.2 §10.3.2
		out.SetBool(true)
	case "false", "False", "FALSE":
		out.SetBool(false)
	default:
		r.problem(path, "must be true or false")
	}
}

func (r *reader) number(path string, v value, out reflect.Value) {
	n, err := strconv.ParseUint(v.text, 10, out.Type().Bits())
	if err != nil {
		r.problem(path, "must be a whole number from 0 to %d", ^uint64(0)>>(64-out.Type().Bits()))
		return
	}
	out.SetUint(n)
}

// maxLine is the longest text of a field that is no secret, in bytes.
const maxLine = 2048

func (r *reader) text(path string, v value, out reflect.Value) {
	switch {
	case len(v.text) > maxLine:
		r.problem(path, "is longer than %d bytes", maxLine)
	case hasControl(v.text):
		r.problem(path, "holds a control character")
	default:
		out.SetString(v.text)
	}
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 })
}

func (r *reader) duration(path string, v value, out reflect.Value) {
	if v.kind != text {
		r.problem(path, "must be a length of time as text, such as 90s, 10m or 365d, not %s", v.kind)
		return
	}
	d, err := configlog.ParseDuration(v.text)
	if err != nil {
		r.problem(path, "must be a length of time such as 90s, 10m or 365d")
		return
	}
	out.SetInt(int64(d))
}
