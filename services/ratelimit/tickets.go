package ratelimit

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"time"

	ratelimitv1 "github.com/gatehouse-suite/gatehouse/proto/ratelimit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Bounds of what may be asked. The stream forgets a counter after two hours.
const (
	minWindow  = 10 * time.Second
	maxWindow  = time.Hour
	maxPermits = 1 << 30
)

// tickets hands out permits.
type tickets struct {
	js  jetstream.JetStream
	now func() time.Time
}

// reserve leases tickets of the window that runs now.
func (t *tickets) reserve(ctx context.Context, r *ratelimitv1.ReserveRequest) (*ratelimitv1.ReserveReply, error) {
	window := r.GetWindow().AsDuration()
	switch {
	case !regexp.MustCompile(`^[0-9a-f]{16,64}$`).MatchString(r.GetKey()):
		return nil, fault.New(fault.Invalid, "key: 16 to 64 hex digits")
	case window < minWindow || window > maxWindow || window%time.Second != 0:
		return nil, fault.New(fault.Invalid, "window: whole seconds, 10 s to 1 h")
	case r.GetPermits() == 0 || r.GetPermits() > maxPermits:
		return nil, fault.New(fault.Invalid, "permits: 1 to 2^30")
	}
	now := t.now()
	number := now.UnixNano() / int64(window)
	left := time.Duration((number+1)*int64(window) - now.UnixNano())
	subject := topology.RateCounter(r.GetKey(), window, number)
	high, err := t.add(ctx, subject, r.GetPermits())
	if err != nil {
		return nil, err
	}
	return &ratelimitv1.ReserveReply{
		Low: high - r.GetPermits(), High: high,
		WindowNumber: uint64(number), //nolint:gosec // after 1970
		Remaining:    durationpb.New(left),
	}, nil
}

// add adds to a counter and gives its new value (ADR-49). It never tries twice: a lost answer wastes tickets.
func (t *tickets) add(ctx context.Context, subject string, k uint64) (uint64, error) {
	msg := nats.NewMsg(subject)
	msg.Header.Set("Nats-Incr", "+"+strconv.FormatUint(k, 10))
	reply, err := t.js.Conn().RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, fault.Wrap(fault.Unavailable, "the stream of rate tickets does not answer", err)
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Value string              `json:"val"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fault.Wrap(fault.Unavailable, "the stream of rate tickets answers nonsense", err)
	}
	if ack.Error != nil {
		return 0, fault.Wrap(fault.Unavailable, "the stream of rate tickets refuses", ack.Error)
	}
	value, err := strconv.ParseUint(ack.Value, 10, 63)
	if err != nil || value < k {
		return 0, fault.New(fault.Unavailable, "the stream of rate tickets gave no total")
	}
	return value, nil
}
