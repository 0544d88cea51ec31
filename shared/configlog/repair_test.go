package configlog_test

import (
	"context"
	"errors"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// answerReadLog stands in for config: it answers page commits at a time out of stored.
func answerReadLog(t *testing.T, n *testkit.NATS, stored []*configv1.StoredCommit, page int) {
	t.Helper()
	server, err := ask.NewServer(context.WithoutCancel(t.Context()), n.Connect(t, topology.Config), testkit.Logger(t),
		noop.NewTracerProvider().Tracer(""), ask.Settings{Name: "config", Version: "0.1.0", Queue: topology.QueueConfig})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	err = ask.Handle(server, "readlog", topology.ConfigReadLog, func(_ context.Context, r *configv1.ReadLogRequest) (proto.Message, error) {
		from := min(int(r.GetFrom())-1, len(stored))
		return &configv1.ReadLogReply{Commits: stored[from:min(from+page, len(stored))]}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func history(n int) ([]*configv1.StoredCommit, []eventlog.State) {
	stored, states := []*configv1.StoredCommit{}, []eventlog.State{{}}
	for i := range n {
		at, data := states[i], []byte{byte(i)}
		stored = append(stored, &configv1.StoredCommit{Sequence: at.Seq + 1, PrevHash: at.Hash[:], Data: data})
		states = append(states, at.Next(data))
	}
	return stored, states
}

func TestARepairIsTheNextPageThatConfigHas(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	stored, states := history(7)
	answerReadLog(t, n, stored, 2)
	repair := configlog.RepairFrom(n.Connect(t, topology.Gateway))
	at := states[2]
	for _, want := range []int{2, 2, 1, 0} {
		commits, err := repair(t.Context(), at)
		if err != nil || len(commits) != want {
			t.Fatalf("%d commits behind %d, %v; want %d", len(commits), at.Seq, err, want)
		}
		if at, err = eventlog.Verify(at, commits); err != nil {
			t.Fatal(err)
		}
	}
	if at != states[7] {
		t.Fatalf("ended at %v, want %v", at, states[7])
	}
}

func TestAnAlteredRepairDoesNotContinueTheHistory(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	stored, states := history(4)
	stored[2].Data = []byte("altered")
	answerReadLog(t, n, stored, 4)
	commits, err := configlog.RepairFrom(n.Connect(t, topology.Gateway))(t.Context(), states[0])
	if err != nil {
		t.Fatal(err)
	}
	var broken *eventlog.BrokenError
	if _, err := eventlog.Verify(states[0], commits); !errors.As(err, &broken) || broken.Kind != eventlog.Forked {
		t.Fatalf("got %v, want a fork", err)
	}
}

func TestNoConfigNoRepair(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	_, err := configlog.RepairFrom(n.Connect(t, topology.Gateway))(t.Context(), eventlog.State{})
	if fault.CodeOf(err) != fault.Unavailable {
		t.Fatalf("got %v", err)
	}
}
