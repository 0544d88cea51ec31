package document

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// kind of a value.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

// String names the kind as a message does.
func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// value is a piece of a document, whichever syntax it was written in.
type value struct {
	kind    kind
	text    string // of boolean, number and text
	items   []value
	members []member // of an object, as written
}

type member struct {
	name  string
	value value
}

// Bounds of a document.
const (
	maxDepth  = 32
	maxValues = 200_000
)

// budget bounds what a small document can expand to.
type budget struct{ values int }

// spend takes one value at a depth, or says why not.
func (b *budget) spend(depth int) error {
	b.values++
	if depth > maxDepth {
		return fault.Newf(fault.Invalid, "nested deeper than %d", maxDepth)
	}
	if b.values > maxValues {
		return fault.Newf(fault.Invalid, "more than %d values, aliases followed", maxValues)
	}
	return nil
}

// under gives the path of a field, with the whole name: two places never have the same path.
func under(path, name string) string {
	if !plainName(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// at gives the path of a list's item.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func plainName(name string) bool {
	return name != "" && len(name) <= 60 && strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

// maxShown is how much of a name a message shows, in runes.
const maxShown = 60

// shown gives a path as a message shows it: long names are cut. It names no place any more.
func shown(path string) string {
	if len(path) <= maxShown {
		return path
	}
	quotedName := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`) // as under writes it
	return quotedName.ReplaceAllStringFunc(path, func(quoted string) string {
		name, err := strconv.Unquote(quoted)
		if err != nil {
			return quoted
		}
		return strconv.Quote(shorten(name, maxShown))
	})
}

// shorten cuts a text to so many runes.
func shorten(s string, runes int) string {
	n := 0
	for i := range s {
		if n == runes {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
