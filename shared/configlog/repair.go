package configlog

import (
	"context"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// RepairFrom gives an Options.Repair that asks config for the commits behind a State, as many as it sends at
// once. Nobody else can answer: no other service may subscribe to that subject.
func RepairFrom(nc *nats.Conn) func(context.Context, eventlog.State) ([]eventlog.Commit, error) {
	return func(ctx context.Context, at eventlog.State) ([]eventlog.Commit, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		var reply configv1.ReadLogReply
		if err := ask.Do(ctx, nc, topology.ConfigReadLog, &configv1.ReadLogRequest{From: at.Seq + 1}, &reply); err != nil {
			return nil, err
		}
		commits := make([]eventlog.Commit, 0, len(reply.GetCommits()))
		for _, c := range reply.GetCommits() {
			commit := eventlog.Commit{Data: c.GetData()}
			copy(commit.Prev[:], c.GetPrevHash())
			commit.State = eventlog.State{Seq: c.GetSequence() - 1, Hash: commit.Prev}.Next(c.GetData())
			commits = append(commits, commit)
		}
		return commits, nil
	}
}
