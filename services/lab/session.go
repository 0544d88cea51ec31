package lab

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
)

// session is who a cookie stands for, and the node that made it.
type session struct{ user, node string }

// sessions holds the newest sessions, up to a limit.
type sessions struct {
	limit int

	mu    sync.Mutex
	byID  map[string]session
	order []string
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, byID: map[string]session{}}
}

func newSessionID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, crypto/rand.Read
	return strings.ToUpper(hex.EncodeToString(id[:]))
}

func (s *sessions) add(user, node string) string {
	id := newSessionID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) >= s.limit {
		delete(s.byID, s.order[0])
		s.order = s.order[1:]
	}
	s.byID[id] = session{user: user, node: node}
	s.order = append(s.order, id)
	return id
}

func (s *sessions) find(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[id]
	return found, ok
}

// end forgets a session; its place in the order is freed when its turn comes.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}
