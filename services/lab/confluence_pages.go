package lab

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const maxPages = 10_000

// space is one of two: LAB needs a login to be seen, OPEN does not.
type space struct {
	id        int
	key, name string
	public    bool
}

func spaces() []space {
	return []space{
		{id: 98305, key: "LAB", name: "Laboratory"},
		{id: 98306, key: "OPEN", name: "Open to everybody", public: true},
	}
}

func spaceOf(key string, c call) (space, bool) {
	for _, s := range spaces() {
		if s.key == key && (s.public || !c.anonymous()) {
			return s, true
		}
	}
	return space{}, false
}

// page is one piece of content, as a copy.
type page struct {
	id, version       int
	space             space
	kind, title, body string
	author            string
	when              time.Time
	attached          []string
}

// pages is all content of the product.
type pages struct {
	mu    sync.Mutex
	next  int
	byID  map[int]*page
	order []int // of what was created later than the seed
}

func newPages() *pages {
	s := &pages{next: 65537, byID: map[int]*page{}}
	for _, sp := range spaces() {
		for _, title := range []string{"Home", "Procedures"} {
			s.create(page{space: sp, kind: "page", title: title, body: "<p>" + title + " of " + sp.name + "</p>", author: "carol"})
		}
	}
	s.order = nil
	return s
}

func (s *pages) create(p page) page {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.id, p.version, p.when = s.next, 1, time.Now()
	s.next++
	s.byID[p.id] = &p
	s.order = append(s.order, p.id)
	if len(s.order) > maxPages {
		delete(s.byID, s.order[0])
		s.order = s.order[1:]
	}
	return p
}

func (s *pages) find(id string, c call) (page, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.Atoi(id)
	p, ok := s.byID[n]
	if !ok || (!p.space.public && c.anonymous()) {
		return page{}, false
	}
	return *p, true
}

// edit makes the next version; false means that number is not the next.
func (s *pages) edit(id, version int, change func(*page)) (page, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.byID[id]
	if !ok || version != p.version+1 {
		return page{}, false
	}
	changed := *p
	change(&changed)
	changed.version, changed.when = version, time.Now()
	s.byID[id] = &changed
	return changed, true
}

func (s *pages) attach(id int, file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.byID[id]; ok {
		changed := *p
		changed.attached = append(slices.Clone(p.attached), file)
		s.byID[id] = &changed
	}
}

func (s *pages) remove(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// taken reports whether a space has a page of this title already.
func (s *pages) taken(sp space, title string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.byID {
		if p.space.key == sp.key && strings.EqualFold(p.title, title) {
			return true
		}
	}
	return false
}

// search lists what the caller may see and the query names, by id.
func (s *pages) search(q query, c call) []page {
	s.mu.Lock()
	var found []page
	for _, p := range s.byID {
		if (p.space.public || !c.anonymous()) && p.matches(q) {
			found = append(found, *p)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, func(a, b page) int { return cmp.Compare(a.id, b.id) })
	if q.orderBy != "" && !q.ascending {
		slices.Reverse(found)
	}
	return found
}

// pageFields are the names CQL may use here.
func pageFields() []string {
	return []string{"space", "space.key", "type", "title", "text", "sitesearch", "id", "content", "creator"}
}

func (p *page) matches(q query) bool {
	for _, cl := range q.clauses {
		if !cl.holds(p.field(cl.field)...) {
			return false
		}
	}
	return true
}

func (p *page) field(name string) []string {
	switch name {
	case "space", "space.key":
		return []string{p.space.key}
	case "type":
		return []string{p.kind}
	case "title":
		return []string{p.title}
	case "text", "sitesearch":
		return []string{p.title, p.body}
	case "id", "content":
		return []string{strconv.Itoa(p.id)}
	case "creator":
		return []string{p.author}
	}
	return nil
}
