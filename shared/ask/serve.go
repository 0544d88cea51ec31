package ask

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// Server answers requests of one service, one instance of its queue group at a time.
type Server struct {
	svc    micro.Service
	log    *slog.Logger
	tracer trace.Tracer
	slots  chan struct{} // one per request under way
	under  sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the life of the server, parent of every request
}

// Settings of a Server.
type Settings struct {
	// Name and Version are shown by `nats micro list`.
	Name, Version string
	// Queue is the queue group: one of its members gets a request.
	Queue string
	// Workers is how many requests may be under way at once; more wait in NATS. 0 means 256.
	Workers int
}

// NewServer makes a server without endpoints; ctx is the parent of every request's context.
func NewServer(ctx context.Context, nc *nats.Conn, log *slog.Logger, tracer trace.Tracer, s Settings) (*Server, error) {
	if s.Workers <= 0 {
		s.Workers = 256
	}
	svc, err := micro.AddService(nc, micro.Config{Name: s.Name, Version: s.Version, QueueGroup: s.Queue})
	if err != nil {
		return nil, fmt.Errorf("serve %s over NATS: %w", s.Name, err)
	}
	return &Server{svc: svc, log: log, tracer: tracer, slots: make(chan struct{}, s.Workers), ctx: ctx}, nil
}

// Handle answers a subject with fn. name is the endpoint's name for `nats micro`: letters, digits, - and _.
func Handle[Req any, PReq interface {
	*Req
	proto.Message
}](s *Server, name, subject string, fn func(context.Context, PReq) (proto.Message, error)) error {
	handler := func(m micro.Request) {
		arrived := time.Now()
		s.slots <- struct{}{} // a full house holds the subscription back, and NATS keeps what waits
		s.under.Go(func() {
			defer func() { <-s.slots }()
			s.answer(m, subject, arrived, func(ctx context.Context, body []byte) (proto.Message, error) {
				request := PReq(new(Req))
				if err := proto.Unmarshal(body, request); err != nil {
					return nil, fault.Wrap(fault.Invalid, "request cannot be read", err)
				}
				return fn(ctx, request)
			})
		})
	}
	if err := s.svc.AddEndpoint(name, micro.HandlerFunc(handler), micro.WithEndpointSubject(subject)); err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	return nil
}

// Stop takes no more requests and waits for those under way.
func (s *Server) Stop() error {
	err := s.svc.Stop()
	s.under.Wait()
	return err
}

func (s *Server) answer(m micro.Request, subject string, arrived time.Time, fn func(context.Context, []byte) (proto.Message, error)) {
	ctx := propagation.TraceContext{}.Extract(s.ctx, propagation.HeaderCarrier(m.Headers()))
	if ms, err := strconv.ParseInt(m.Headers().Get(headerTimeout), 10, 64); err == nil && ms > 0 {
		left := time.Duration(ms)*time.Millisecond - time.Since(arrived)
		if left <= 0 {
			return // nobody waits any more
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	ctx, span := s.tracer.Start(ctx, subject, trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	reply, err := fn(ctx, m.Data())
	if err == nil {
		var body []byte
		if body, err = proto.Marshal(reply); err == nil {
			err = m.Respond(body)
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "answer not sent", slog.String("subject", subject), slog.Any("error", err))
			}
			return
		}
	}
	f := fault.From(err)
	span.SetStatus(codes.Error, f.Message)
	span.SetAttributes(attribute.String("fault.code", string(f.Code)))
	if f.Code == fault.Internal {
		s.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("subject", subject), slog.Any("error", err))
	}
	if err := m.Error(string(f.Code), f.Message, nil); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "answer not sent", slog.String("subject", subject), slog.Any("error", err))
	}
}
