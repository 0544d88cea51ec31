package config

import (
	"context"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"
)

// maxReadLog bounds the commits of one answer in bytes, after the first: a NATS message may have 1 MiB.
const maxReadLog = 512 << 10

// readLog answers commits from memory, for a follower whose own view of the stream is damaged. It holds them
// against the chain itself.
func (a *api) readLog(_ context.Context, asked *configv1.ReadLogRequest) (proto.Message, error) {
	if _, err := a.loaded(); err != nil {
		return nil, err
	}
	reply := new(configv1.ReadLogReply)
	size := 0
	for _, c := range a.history.since(asked.GetFrom()) {
		size += len(c.Data)
		if (asked.GetTo() != 0 && c.Seq > asked.GetTo()) || (size > maxReadLog && len(reply.GetCommits()) > 0) {
			break
		}
		reply.Commits = append(reply.Commits, &configv1.StoredCommit{Sequence: c.Seq, PrevHash: c.Prev[:], Data: c.Data})
	}
	return reply, nil
}
