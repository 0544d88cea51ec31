package tokenlog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
)

func Example() {
	token := opaque.New(tokenlog.Prefix)
	sum := opaque.Hash(token)
	var registry tokenlog.Registry
	err := registry.Fold([]proto.Message{&tokenv1.TokenIssued{Sha256: sum[:], Name: "backup", Owner: "alice", Site: "jira"}}, time.Now())
	if err != nil {
		panic(err)
	}
	registry.Publish()
	found := registry.Find(opaque.Hash(token))
	fmt.Println(found.Name, found.Owner, found.Standing(time.Now()), registry.Find(opaque.Hash("ght_another")))
	// Output: backup alice good <nil>
}

// TestTheRegistryIsWhatWasFolded: any mix of facts, commits and publications, against plain maps.
func TestTheRegistryIsWhatWasFolded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var r tokenlog.Registry
		type state struct{ revoked bool }
		folded, visible := map[uint64]state{}, map[uint64]state{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := rapid.Uint64Range(0, 20).Draw(t, "token")
			was, there := folded[n]
			switch rapid.SampledFrom([]string{"issue", "revoke", "both", "many", "publish"}).Draw(t, "what") {
			case "issue":
				if err := r.Fold([]proto.Message{issued(n)}, epoch); (err == nil) == there {
					t.Fatalf("issue %d: %v", n, err)
				}
				if !there {
					folded[n] = state{}
				}
			case "revoke":
				if err := r.Fold([]proto.Message{revoked(n)}, epoch.Add(time.Second)); (err == nil) != there {
					t.Fatalf("revoke %d: %v", n, err)
				}
				if there {
					was.revoked = true
					folded[n] = was
				}
			case "both": // the second fact does not fit: none counts
				if err := r.Fold([]proto.Message{issued(n + 100), issued(n + 100)}, epoch); err == nil {
					t.Fatal("issued twice in one commit")
				}
			case "many": // enough to have all put together again
				var facts []proto.Message
				first := uint64(len(folded)+1) * 10_000
				for i := range uint64(600) {
					facts = append(facts, issued(first+i))
					folded[first+i] = state{}
				}
				if err := r.Fold(facts, epoch); err != nil {
					t.Fatal(err)
				}
			case "publish":
				r.Publish()
				visible = map[uint64]state{}
				for n, s := range folded {
					visible[n] = s
				}
			}
		}
		for n := range folded {
			found, want := r.Find(digest(n)), visible[n]
			if _, there := visible[n]; (found != nil) != there {
				t.Fatalf("%d: %v", n, found)
			}
			if found != nil && ((found.RevokedAt != 0) != want.revoked || found.SHA256 != digest(n) || r.Lookup(found.ID()) != found) {
				t.Fatalf("%d: %+v", n, found)
			}
		}
		count := 0
		for range r.All() {
			count++
		}
		if count != len(visible) {
			t.Fatalf("%d tokens, want %d", count, len(visible))
		}
	})
}

func TestWhatATokenIs(t *testing.T) {
	t.Parallel()
	var r tokenlog.Registry
	fold(t, &r, issued(1))
	everything := issued(2)
	everything.ReadOnly, everything.Ranges, everything.ExpiresAt = true, []string{"10.0.0.0/8", "2001:db8::/32"}, nil
	fold(t, &r, everything, revoked(1))
	r.Publish()
	first, second := r.Find(digest(1)), r.Find(digest(2))
	if first.Standing(epoch) != tokenlog.Revoked || first.Name != "build agent 1" || first.Owner != "user1" || first.Site != "jira" || first.IssuedAt != epoch.Unix() || first.Ranges != nil {
		t.Errorf("%+v", first)
	}
	if !second.ReadOnly || len(*second.Ranges) != 2 || second.Standing(epoch.AddDate(99, 0, 0)) != tokenlog.Good {
		t.Errorf("%+v", second)
	}
	fold(t, &r, issued(3))
	r.Publish()
	third := r.Find(digest(3))
	for at, want := range map[time.Duration]tokenlog.Standing{time.Hour - time.Second: tokenlog.Good, time.Hour: tokenlog.Expired, 2 * time.Hour: tokenlog.Expired} {
		if got := third.Standing(epoch.Add(at)); got != want {
			t.Errorf("after %s: %s", at, got)
		}
	}
	text := third.ID().String()
	if id, err := tokenlog.ParseID(text); err != nil || id != third.ID() || len(text) != 16 {
		t.Errorf("%s: %v %v", text, id, err)
	}
	for _, bad := range []string{"", "x", text + "0", text[1:], strings.ToUpper("abcdef0123456789"), "+123456789abcdef", "0x23456789abcdef"} {
		if id, err := tokenlog.ParseID(bad); err == nil {
			t.Errorf("%q is %v", bad, id)
		}
	}
	// Nobody finds a token by half of its SHA-256, which is its id.
	half := digest(3)
	half[31] ^= 1
	if r.Find(half) != nil {
		t.Error("another token of the same id counts")
	}
}

func TestWhatNoLogHolds(t *testing.T) {
	t.Parallel()
	var r tokenlog.Registry
	short, forever, range1 := issued(1), issued(2), issued(3)
	short.Sha256 = short.Sha256[:31]
	forever.ExpiresAt = &timestamppb.Timestamp{Nanos: -1}
	range1.Ranges = []string{"10.0.0.1"}
	for _, fact := range []proto.Message{short, &tokenv1.TokenIssued{}, forever, range1, revoked(9)} {
		if err := r.Fold([]proto.Message{fact}, epoch); err == nil || !strings.Contains(err.Error(), string(factlog.TypeOf(fact))) {
			t.Errorf("%v: %v", fact, err)
		}
	}
	var unknown *factlog.UnknownFactError
	if err := r.Fold([]proto.Message{issued(4), &configv1.SiteRegistered{}}, epoch); !errors.As(err, &unknown) {
		t.Error(err)
	}
	r.Publish()
	for range r.All() {
		t.Error("something was folded")
	}
}

// TestReadersAreNeverInTheWay of what changes, nor see half of a commit; for the race detector.
func TestReadersAreNeverInTheWay(t *testing.T) {
	t.Parallel()
	var r tokenlog.Registry
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				even, odd := r.Find(digest(n%500*2)), r.Find(digest(n%500*2+1))
				if even != nil && odd == nil {
					t.Error("half a commit")
					return
				}
			}
		})
	}
	for n := range uint64(2000) {
		fold(t, &r, issued(2*n), issued(2*n+1))
		r.Publish()
	}
	close(stop)
	readers.Wait()
}
