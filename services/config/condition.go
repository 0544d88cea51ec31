package config

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// condition is what must hold before a change is made.
type condition struct {
	any  bool // "*": whatever there is; there always is a document, be it an empty one
	tags []string
}

// ifMatch reads If-Match (RFC 9110 §13.1.1), which must be there. Weak tags never match.
func ifMatch(r *http.Request) (condition, error) {
	text := strings.TrimSpace(strings.Join(r.Header.Values("If-Match"), ","))
	switch text {
	case "":
		return condition{}, refuse(http.StatusPreconditionRequired, fault.New(fault.Invalid,
			"If-Match is required: the ETag of the document the change was made to, or * for whatever there is"))
	case "*":
		return condition{any: true}, nil
	}
	return condition{tags: entityTags(text)}, nil
}

// unchanged tells whether If-None-Match names what there is (RFC 9110 §13.1.2): any document for "*", and a tag
// whether it was made weak on its way or not.
func unchanged(r *http.Request, tag string) bool {
	text := strings.TrimSpace(strings.Join(r.Header.Values("If-None-Match"), ","))
	return text == "*" || slices.ContainsFunc(entityTags(text), func(given string) bool {
		return strings.TrimPrefix(given, "W/") == tag
	})
}

// entityTags takes a list of entity tags apart. Ours have no comma and no quote in them.
func entityTags(text string) []string {
	var tags []string
	for tag := range strings.SplitSeq(text, ",") {
		tags = append(tags, strings.TrimSpace(tag))
	}
	return tags
}

func (c condition) holds(s eventlog.State) bool { return c.any || slices.Contains(c.tags, etag(s)) }

// newest gives the highest sequence a tag names, for an instance that has not heard of it yet.
func (c condition) newest() uint64 {
	var seq uint64
	for _, tag := range c.tags {
		if s, err := eventlog.ParseState(strings.Trim(tag, `"`)); err == nil {
			seq = max(seq, s.Seq)
		}
	}
	return seq
}

// stale is the answer when the condition does not hold.
func stale(current eventlog.State) error {
	return &refusal{
		cause: fault.New(fault.Conflict, "the configuration has changed meanwhile: read it again"), status: http.StatusPreconditionFailed, current: &current,
	}
}
