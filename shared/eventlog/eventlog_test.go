package eventlog_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

func TestAnEmptyLogIsSettled(t *testing.T) {
	t.Parallel()
	if got := mustRead(t, open(t, testkit.StartNATS(t))); len(got) != 0 {
		t.Fatalf("got %d commits", len(got))
	}
}

func TestAppendThenFollow(t *testing.T) {
	t.Parallel()
	log := open(t, testkit.StartNATS(t))
	var at eventlog.State
	for i := range 1200 { // more than two batches
		next, err := log.Append(t.Context(), at, fmt.Appendf(nil, "commit %d", i))
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	got := mustRead(t, log)
	if last := got[len(got)-1]; last.State != at || string(last.Data) != "commit 1199" || time.Since(last.StoredAt) > time.Minute {
		t.Fatalf("last is %v %q of %v, want %v", last.State, last.Data, last.StoredAt, at)
	}
}

func TestAStaleAppendIsRefusedAndNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	log := open(t, testkit.StartNATS(t))
	first, err := log.Append(t.Context(), eventlog.State{}, []byte("mine"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), eventlog.State{}, []byte("late"))
	var conflict *eventlog.ConflictError
	if !errors.As(err, &conflict) || conflict.Found != first {
		t.Fatalf("got %v, want a conflict with %v", err, first)
	}
	again, err := log.Append(t.Context(), eventlog.State{}, []byte("mine"))
	if err != nil || again != first {
		t.Fatalf("the same append again: %v, %v", again, err)
	}
}
