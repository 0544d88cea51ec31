package renewal_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/renewal"
)

func Example() {
	var mark renewal.Mark
	now := time.Now()
	fmt.Println(mark.Due(20*time.Second, time.Minute, 0.5, now))
	fmt.Println(mark.Due(40*time.Second, time.Minute, 0.5, now))
	fmt.Println(mark.Due(40*time.Second, time.Minute, 0.5, now)) // it was said a moment ago
	fmt.Println(mark.Due(43*time.Second, time.Minute, 0.5, now.Add(3*time.Second)))
	// Output:
	// false
	// true
	// false
	// true
}

func TestItIsDueOnceForAll(t *testing.T) {
	t.Parallel()
	var mark renewal.Mark
	var due atomic.Int64
	var all sync.WaitGroup
	now := time.Now()
	for range 50 {
		all.Go(func() {
			if mark.Due(time.Minute, time.Minute, 0.7, now) {
				due.Add(1)
			}
		})
	}
	all.Wait()
	if due.Load() != 1 {
		t.Errorf("%d times", due.Load())
	}
}

func TestWhatFollowsWasAskedForToo(t *testing.T) {
	t.Parallel()
	var first, second renewal.Mark
	now := time.Now()
	if !first.Due(time.Minute, time.Minute, 0.5, now) {
		t.Error("not due")
	}
	if second.From(&first); second.Due(time.Minute, time.Minute, 0.5, now.Add(time.Second)) {
		t.Error("due at once")
	}
}

func TestEarly(t *testing.T) {
	t.Parallel()
	if a, b, c := renewal.Early(0), renewal.Early(128), renewal.Early(255); a < 0.69 || a >= b || b >= c || c > 0.91 {
		t.Error(renewal.Early(0), renewal.Early(128), renewal.Early(255))
	}
}
