package ask

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// headerTimeout carries what is left of the asker's time, in milliseconds: a duration, because two clocks differ.
const headerTimeout = "Gatehouse-Timeout-Ms"

// Longest is how long an answer is waited for at most, whatever the asker's deadline: the NATS server lets no answer
// through that comes later.
const Longest = time.Minute

const (
	// patience is how long an answer is waited for by whoever brings no deadline.
	patience = 10 * time.Second
	// nobodyFor is how long a subject may have nobody who answers it before the asker is told: an only instance that
	// restarts, or comes back to NATS a little later than its asker does, is no failure.
	nobodyFor, nobodyAgain = time.Second, 20 * time.Millisecond
)

// Do asks and waits for the answer until ctx ends. Its deadline travels with the request; a ctx without one gets
// ten seconds, one beyond Longest gets that. The error is a fault.
func Do(ctx context.Context, nc *nats.Conn, subject string, request, reply proto.Message) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return fault.Wrap(fault.Internal, "request cannot be encoded", err)
	}
	limit := patience
	if _, ok := ctx.Deadline(); ok {
		limit = Longest
	}
	ctx, cancel := context.WithTimeout(ctx, limit) // an earlier deadline stays
	defer cancel()
	deadline, _ := ctx.Deadline()
	msg := nats.NewMsg(subject)
	msg.Data = body
	msg.Header.Set(headerTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(msg.Header))
	answer, err := insist(ctx, nc, msg)
	if err != nil {
		return unanswered(subject, err)
	}
	if code := answer.Header.Get(micro.ErrorCodeHeader); code != "" {
		c := fault.Code(code)
		if !c.Known() {
			c = fault.Internal
		}
		f := fault.New(c, answer.Header.Get(micro.ErrorHeader))
		if len(answer.Data) > 0 {
			_ = json.Unmarshal(answer.Data, &f.Problems) // they only say more
		}
		return f
	}
	if err := proto.Unmarshal(answer.Data, reply); err != nil {
		return fault.Wrap(fault.Internal, "answer to "+subject+" cannot be read", err)
	}
	return nil
}

// insist asks again for a little while when nobody is there to answer.
func insist(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	for began := time.Now(); ; {
		answer, err := nc.RequestMsgWithContext(ctx, msg)
		if !errors.Is(err, nats.ErrNoResponders) || time.Since(began)+nobodyAgain > nobodyFor {
			return answer, err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= nobodyAgain {
			return nil, err // rather than that it took too long
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(nobodyAgain):
		}
	}
}

func unanswered(subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fault.Wrap(fault.Unavailable, "nobody answers "+subject, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fault.Wrap(fault.Unavailable, "no answer to "+subject+" in time", err)
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Unavailable, subject+" no longer waited for", err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fault.Wrap(fault.Invalid, "the request to "+subject+" is too large", err)
	default:
		return fault.Wrap(fault.Unavailable, "NATS is away", err)
	}
}
