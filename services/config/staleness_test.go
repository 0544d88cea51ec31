package config

import (
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAnEarlierStaleMaxIsGoneByForAsLongAsItSays(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	at := func(d time.Duration) time.Time { return begun.Add(d) }
	var s staleness
	set := func(when time.Duration, facts ...proto.Message) {
		s.add(eventlog.Commit{StoredAt: at(when)}, &configv1.Commit{At: timestamppb.New(at(when - time.Second))}, facts)
	}
	stale := func(site string, d time.Duration) proto.Message {
		return &configv1.StalenessSet{Site: site, Max: durationpb.New(d)}
	}
	set(0, stale("a", time.Hour), stale("b", 10*time.Minute))
	set(time.Minute, stale("a", 5*time.Minute))
	set(2*time.Minute, &configv1.SiteRemoved{Site: "b"})
	for when, want := range map[time.Duration]time.Duration{
		3 * time.Minute:               time.Hour,
		time.Minute + time.Hour:       time.Hour,
		time.Minute + 61*time.Minute:  5 * time.Minute,
		time.Minute + 100*time.Minute: 5 * time.Minute,
	} {
		if got := s.at(at(when), 30*time.Second); got != want {
			t.Errorf("after %s: %s", when, got)
		}
	}
	set(3*time.Hour, stale("a", time.Minute))
	if got := s.at(at(3*time.Hour+4*time.Minute), 0); got != 5*time.Minute {
		t.Errorf("the last one: %s", got)
	}
	if got := s.at(at(3*time.Hour+6*time.Minute), 0); got != time.Minute {
		t.Errorf("at last: %s", got)
	}
	if got := new(staleness).at(begun, time.Hour); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
}
