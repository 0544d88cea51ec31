package config

import (
	"sync"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"google.golang.org/protobuf/proto"
)

// staleness remembers the longest stale.max of every configuration there was, and until when. A gateway that was
// cut off goes on under the one it had, however short a later one is.
type staleness struct {
	mu      sync.Mutex
	sites   map[string]time.Duration
	longest time.Duration // of the last configuration
	past    []era
}

// era is a time in which one stale.max was the longest.
type era struct {
	longest time.Duration
	until   time.Time
}

// add takes the next commit, as history does.
func (s *staleness) add(c eventlog.Commit, meta *configv1.Commit, facts []proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sites == nil {
		s.sites = map[string]time.Duration{}
	}
	for _, fact := range facts {
		switch m := fact.(type) {
		case *configv1.StalenessSet:
			s.sites[m.GetSite()] = m.GetMax().AsDuration()
		case *configv1.SiteRemoved:
			delete(s.sites, m.GetSite())
		}
	}
	longest := time.Duration(0)
	for _, d := range s.sites {
		longest = max(longest, d)
	}
	if longest < s.longest {
		until := c.StoredAt // a commit that was put back is stored later than it was made
		if made := meta.GetAt().AsTime(); made.After(until) {
			until = made
		}
		s.past = append(s.past, era{longest: s.longest, until: until})
	}
	s.longest = longest
}

// at gives the longest stale.max a gateway may still go by: that of the last configuration, or of an earlier one
// which it had until it was cut off. more is how much longer than that it stays on the list.
func (s *staleness) at(now time.Time, more time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := s.longest
	for _, e := range s.past {
		if now.Before(e.until.Add(e.longest + more)) {
			longest = max(longest, e.longest)
		}
	}
	return longest
}
