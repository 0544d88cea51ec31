package ratelimit_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	ratelimitv1 "github.com/gatehouse-suite/gatehouse/proto/ratelimit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs n instances until the test ends and gives a way to ask as a gateway does.
func start(t *testing.T, n *testkit.NATS, instances int) func(*ratelimitv1.ReserveRequest) (*ratelimitv1.ReserveReply, error) {
	t.Helper()
	fixed := time.Unix(1_800_000_003, 0)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for range instances {
		host := service.NewProcess(testkit.Logger(t), nil).Host("ratelimit", "")
		done.Go(func() {
			s := ratelimit.Settings{Settings: n.Settings(topology.RateLimit), Now: func() time.Time { return fixed }}
			if err := ratelimit.Run(ctx, host, s); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); done.Wait() })
	nc := n.Connect(t, topology.Gateway)
	return func(r *ratelimitv1.ReserveRequest) (*ratelimitv1.ReserveReply, error) {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			reply := new(ratelimitv1.ReserveReply)
			err := ask.Do(ctx, nc, topology.Reserve, r, reply)
			cancel()
			if err != nil && strings.HasPrefix(err.Error(), "nobody answers") && t.Context().Err() == nil {
				continue // the instances are still starting
			}
			return reply, err
		}
	}
}

func request(permits uint64) *ratelimitv1.ReserveRequest {
	return &ratelimitv1.ReserveRequest{Key: strings.Repeat("ab", 16), Window: durationpb.New(time.Minute), Limit: 1000, Permits: permits}
}

func TestLeasesAreDisjointAndDense(t *testing.T) {
	t.Parallel()
	reserve := start(t, testkit.StartNATS(t), 2)
	const askers, each, permits = 8, 25, 3
	var mu sync.Mutex
	owned := map[uint64]bool{}
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for range each {
				lease, err := reserve(request(permits))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for ticket := lease.GetLow() + 1; ticket <= lease.GetHigh(); ticket++ {
					if owned[ticket] {
						t.Errorf("ticket %d given twice", ticket)
					}
					owned[ticket] = true
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(owned) != askers*each*permits || !owned[1] || !owned[askers*each*permits] {
		t.Fatalf("%d tickets given", len(owned))
	}
}

func TestTheWindowComesWithTheLease(t *testing.T) {
	t.Parallel()
	lease, err := start(t, testkit.StartNATS(t), 1)(request(1))
	if err != nil {
		t.Fatal(err)
	}
	if lease.GetWindowNumber() != 30_000_000 || lease.GetRemaining().AsDuration() != 57*time.Second {
		t.Fatalf("window %d, %s left", lease.GetWindowNumber(), lease.GetRemaining().AsDuration())
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	reserve := start(t, testkit.StartNATS(t), 1)
	for name, r := range map[string]*ratelimitv1.ReserveRequest{
		"no permits": request(0),
		"too many":   request(1 << 31),
		"wildcard":   {Key: "rate.>", Window: durationpb.New(time.Minute), Permits: 1},
		"no window":  {Key: strings.Repeat("a", 16), Permits: 1},
		"day":        {Key: strings.Repeat("a", 16), Window: durationpb.New(24 * time.Hour), Permits: 1},
	} {
		if _, err := reserve(r); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
