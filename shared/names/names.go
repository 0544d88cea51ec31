// Package names compares the names of users and groups as the products do: in lower case, by the rules of English and of
// Unicode's special casing, like Java's String.toLowerCase(Locale.ENGLISH) (Crowd's IdentifierUtils). Go's own functions
// merge names that the products keep apart: strings.ToLower makes "İ" an "i", and strings.EqualFold takes "ſ" for "s".
package names

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Fold gives what all spellings of a name have in common. A name in ASCII without capitals is its own, at no allocation.
func Fold(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return cases.Lower(language.English).String(name) // one for each call: it has a state
		}
	}
	return strings.ToLower(name)
}

// Same tells whether two names are spellings of one.
func Same(a, b string) bool { return a == b || Fold(a) == Fold(b) }
