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

// Do asks and waits for the answer until ctx ends; ctx should have a deadline, which travels with the request.
// The error is a fault.
func Do(ctx context.Context, nc *nats.Conn, subject string, request, reply proto.Message) error {
	body, err := proto.Marshal(request)
	if err != nil {
		return fault.Wrap(fault.Internal, "request cannot be encoded", err)
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	if deadline, ok := ctx.Deadline(); ok {
		msg.Header.Set(headerTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(msg.Header))
	answer, err := nc.RequestMsgWithContext(ctx, msg)
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
