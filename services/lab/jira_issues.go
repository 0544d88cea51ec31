package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxIssues is how many issues a lab keeps; then the oldest that is no seed goes.
const maxIssues = 10_000

// issue is one issue, as a copy; maps and slices in it are never changed in place.
type issue struct {
	id                         int
	key                        string
	project                    project
	summary, description, kind string
	reporter, assignee         string
	labels                     []string
	comments                   []comment
	attached                   []string
	created, updated           time.Time
}

type comment struct {
	id, author, body string
	created          time.Time
}

// issues are all issues of the product.
type issues struct {
	mu      sync.Mutex
	nextID  int
	nextKey map[string]int
	byKey   map[string]*issue
	order   []string // keys of what was created later than the seed
}

func newIssues() *issues {
	s := &issues{nextID: 10000, nextKey: map[string]int{}, byKey: map[string]*issue{}}
	for _, p := range projects() {
		for _, summary := range []string{"Calibrate the scale", "Order new glassware", "Write the safety sheet"} {
			s.create(issue{project: p, summary: summary, kind: "Task", reporter: "carol", labels: []string{"seed"}})
		}
	}
	s.order = nil
	return s
}

func (s *issues) create(i issue) issue {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextKey[i.project.key]++
	i.id, i.key = s.nextID, fmt.Sprintf("%s-%d", i.project.key, s.nextKey[i.project.key])
	i.created = time.Now()
	i.updated = i.created
	s.nextID++
	s.byKey[i.key] = &i
	s.order = append(s.order, i.key)
	if len(s.order) > maxIssues {
		delete(s.byKey, s.order[0])
		s.order = s.order[1:]
	}
	return i
}

// find looks up by key or id what the caller may see.
func (s *issues) find(keyOrID string, c call) (issue, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.byKey[keyOrID]
	if !ok {
		if id, err := strconv.Atoi(keyOrID); err == nil {
			for _, each := range s.byKey {
				if each.id == id {
					i, ok = each, true
				}
			}
		}
	}
	if !ok || (!i.project.public && c.anonymous()) {
		return issue{}, false
	}
	return *i, true
}

func (s *issues) change(key string, change func(*issue)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.byKey[key]; ok {
		changed := *i
		change(&changed)
		changed.updated = time.Now()
		s.byKey[key] = &changed
	}
}

func (s *issues) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

// search finds what the caller may see and the query names, newest first unless
// the query orders it otherwise.
func (s *issues) search(q query, c call) []issue {
	s.mu.Lock()
	var found []issue
	for _, i := range s.byKey {
		if (i.project.public || !c.anonymous()) && i.matches(q, c) {
			found = append(found, *i)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, func(a, b issue) int {
		order := 0
		switch q.orderBy {
		case "updated":
			order = a.updated.Compare(b.updated)
		case "summary":
			order = cmp.Compare(a.summary, b.summary)
		default:
		}
		if order == 0 {
			order = a.id - b.id
		}
		if !q.ascending {
			order = -order
		}
		return order
	})
	return found
}

// issueFields are the names JQL may use here.
func issueFields() []string {
	return []string{
		"project", "key", "issuekey", "id", "summary", "description", "text", "type",
		"issuetype", "status", "reporter", "creator", "assignee", "labels",
	}
}

func (i *issue) matches(q query, c call) bool {
	for _, cl := range q.clauses {
		for v, name := range cl.values {
			if name == "currentUser()" {
				cl.values = slices.Clone(cl.values)
				cl.values[v] = c.name
			}
		}
		if !cl.holds(i.field(cl.field)...) {
			return false
		}
	}
	return true
}

func (i *issue) field(name string) []string {
	switch name {
	case "project":
		return []string{i.project.key, i.project.name, i.project.id}
	case "key", "issuekey", "id":
		return []string{i.key, strconv.Itoa(i.id)}
	case "summary":
		return []string{i.summary}
	case "description":
		return []string{i.description}
	case "text":
		return []string{i.summary, i.description}
	case "type", "issuetype":
		return []string{i.kind}
	case "status":
		return []string{statusName}
	case "reporter", "creator":
		return []string{i.reporter}
	case "assignee":
		return []string{i.assignee}
	case "labels":
		return i.labels
	}
	return nil
}
