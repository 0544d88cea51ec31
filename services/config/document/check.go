package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Check judges a configuration whose secrets are in place: problems are what cannot work, warnings what is
// merely dangerous. Both are in the order of their paths.
func Check(c *configlog.Config) (problems, warnings []fault.Problem) {
	var k checker
	k.sites(c.Sites)
	k.notYet(c)
	k.retention(c.Audit.Retention)
	slices.SortStableFunc(k.problems, byPath)
	slices.SortStableFunc(k.warnings, byPath)
	return k.problems, k.warnings
}

// retention checks how long the audit trail is kept. What it removes does not come back, so what may be a slip is warned of.
func (k *checker) retention(r configlog.Retention) {
	const few = 100_000 // an hour of a busy gateway
	k.atMost("audit.retention.max_days", uint64(r.MaxDays), 36_500)
	k.between("audit.retention.every", r.Every, time.Second, 30*day)
	switch {
	case r.MaxDays == 0 && r.MaxEntries == 0:
		k.warn("audit.retention", "nothing is ever removed from the audit trail: the database grows without end")
	case r.MaxDays > 0 && r.MaxDays < 7:
		k.warn("audit.retention.max_days", "audit records older than these few days are removed for good; audit/retention/run?dry_run=true says what would go")
	}
	if r.MaxEntries > 0 && r.MaxEntries < few {
		k.warn("audit.retention.max_entries", "all but these few audit records are removed for good; audit/retention/run?dry_run=true says what would go")
	}
}

// Join gives all problems of several steps, each path's first only and none below a path that has one
// already: what could not be read is not also called missing. They are in the order of their paths.
func Join(steps ...[]fault.Problem) []fault.Problem {
	var all []fault.Problem
	for _, problems := range steps {
		before := len(all)
		for _, p := range problems {
			if !slices.ContainsFunc(all[:before], func(q fault.Problem) bool { return isUnder(p.Path, q.Path) }) {
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, byPath)
	return all
}

// byPath orders problems; sites[2] comes before sites[10].
func byPath(a, b fault.Problem) int {
	natural := func(path string) string {
		var out strings.Builder
		for rest := path; rest != ""; {
			digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
			if digits == 0 {
				out.WriteByte(rest[0])
				rest = rest[1:]
				continue
			}
			out.WriteString(strings.Repeat("0", max(0, 8-digits)))
			out.WriteString(rest[:digits])
			rest = rest[digits:]
		}
		return out.String()
	}
	return cmp.Compare(natural(a.Path), natural(b.Path))
}

type checker struct{ problems, warnings []fault.Problem }

func (k *checker) problem(path, format string, args ...any) {
	k.problems = note(k.problems, path, format, args)
}

func (k *checker) warn(path, message string) {
	k.warnings = note(k.warnings, path, "%s", []any{message})
}

// note adds to a list of problems until it is full.
func note(list []fault.Problem, path, format string, args []any) []fault.Problem {
	switch {
	case len(list) < maxProblems:
		return append(list, fault.Problem{Path: shown(path), Message: fmt.Sprintf(format, args...)})
	case len(list) == maxProblems:
		return append(list, fault.Problem{Message: "and more"})
	default:
		return list
	}
}

// id checks an identifier and tells whether it is one.
func (k *checker) id(path, id string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	switch {
	case id == "":
		k.problem(path, "is required")
	case len(id) > 63 || strings.Trim(id, letters) != "" || strings.HasPrefix(id, "-"):
		k.problem(path, "must be 1 to 63 of a-z, 0-9 and -, and not begin with -")
	default:
		return true
	}
	return false
}

func (k *checker) oneOf(path, given string, known ...string) bool {
	if slices.Contains(known, given) {
		return true
	}
	k.problem(path, "must be one of %s", strings.Join(known, ", "))
	return false
}

// between checks a length of time.
func (k *checker) between(path string, d configlog.Duration, low, high time.Duration) {
	if d.Std() < low || d.Std() > high {
		k.problem(path, "must be from %s to %s", configlog.Duration(low), configlog.Duration(high))
	}
}

func (k *checker) atMost(path string, n, high uint64) {
	if n > high {
		k.problem(path, "must be at most %d", high)
	}
}

// names checks a list of names such as groups.
func (k *checker) names(path string, list []string) {
	for i, name := range list {
		if strings.TrimSpace(name) == "" || len(name) > 255 {
			k.problem(at(path, i), "must be a name of 1 to 255 bytes")
		}
	}
}
