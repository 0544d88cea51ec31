package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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

// Server answers the requests of one service. Of all instances in a queue group one gets a request.
//
// It is announced by package micro (`nats micro list`), but subscribes by itself: an endpoint of micro is told
// that a request is done when its handler returns, and does not say when it has been drained.
type Server struct {
	nc     *nats.Conn
	svc    micro.Service
	queue  string
	log    *slog.Logger
	tracer trace.Tracer
	slots  chan struct{} // one per request under way
	seats  chan struct{} // one per request under way or waiting
	under  sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the life of the server, parent of every request

	mu   sync.Mutex
	subs []subscription
}

// subscription is one subject that is answered.
type subscription struct {
	*nats.Subscription
	drained <-chan struct{} // nothing more is taken from it
}

// Settings of a Server.
type Settings struct {
	// Name and Version are shown by `nats micro list`.
	Name, Version string
	// Queue is the queue group: one of its members gets a request. Empty means Name.
	Queue string
	// Workers is how many requests may be under way at once; 0 means 256.
	Workers int
	// Waiting is how many more may wait, each no longer than its asker does; what comes then is refused as
	// unavailable. 0 means 64 for each worker.
	Waiting int
}

func (s Settings) withDefaults() Settings {
	if s.Queue == "" {
		s.Queue = s.Name
	}
	if s.Workers <= 0 {
		s.Workers = 256
	}
	if s.Waiting <= 0 {
		s.Waiting = 64 * s.Workers
	}
	return s
}

// NewServer makes a server that answers nothing yet; ctx is the parent of every request's context.
func NewServer(ctx context.Context, nc *nats.Conn, log *slog.Logger, tracer trace.Tracer, s Settings) (*Server, error) {
	s = s.withDefaults()
	svc, err := micro.AddService(nc, micro.Config{Name: s.Name, Version: s.Version, QueueGroup: s.Queue})
	if err != nil {
		return nil, fmt.Errorf("serve %s over NATS: %w", s.Name, err)
	}
	return &Server{
		nc: nc, svc: svc, queue: s.Queue, log: log, tracer: tracer,
		slots: make(chan struct{}, s.Workers), seats: make(chan struct{}, s.Workers+s.Waiting), ctx: ctx,
	}, nil
}

// Handle answers a subject with fn; name is what the operation is called in traces. When NATS is there, requests
// are answered once it returns. What fn returns without classifying it, or panics with, arrives as internal.
func Handle[Req any, PReq interface {
	*Req
	proto.Message
}](s *Server, name, subject string, fn func(context.Context, PReq) (proto.Message, error)) error {
	return s.subscribe(name, subject, func(ctx context.Context, body []byte) (proto.Message, error) {
		request := PReq(new(Req))
		if err := proto.Unmarshal(body, request); err != nil {
			return nil, fault.Wrap(fault.Invalid, "request cannot be read", err)
		}
		return fn(ctx, request)
	})
}

func (s *Server) subscribe(name, subject string, fn handler) error {
	sub, err := s.nc.QueueSubscribe(subject, s.queue, func(m *nats.Msg) { s.take(m, name, fn) })
	if err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	drained := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(drained) })
	s.mu.Lock()
	s.subs = append(s.subs, subscription{sub, drained})
	s.mu.Unlock()
	if s.nc.IsConnected() {
		_ = s.nc.FlushTimeout(time.Second) // else it is subscribed when NATS is back
	}
	return nil
}

// Stop takes no more requests and returns once those are answered that had come.
func (s *Server) Stop() error {
	s.mu.Lock()
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	err := s.svc.Stop()
	for _, sub := range subs {
		if !s.nc.IsConnected() { // nothing can come and no answer can be sent
			_ = sub.Unsubscribe()
		} else if failed := sub.Drain(); failed != nil && !errors.Is(failed, nats.ErrConnectionClosed) {
			err = errors.Join(err, failed)
		}
	}
	for _, sub := range subs {
		patience := time.NewTimer(2 * time.Second)
		select {
		case <-sub.drained:
		case <-patience.C: // NATS has gone meanwhile
			_ = sub.Unsubscribe()
			<-sub.drained
		}
		patience.Stop()
	}
	s.under.Wait()
	return err
}

type handler func(context.Context, []byte) (proto.Message, error)

// take gives a request a worker. It never blocks: time that a request spent unseen could not be told from time
// that its asker still has.
func (s *Server) take(m *nats.Msg, name string, fn handler) {
	if m.Reply == "" {
		return // nobody asks
	}
	select {
	case s.seats <- struct{}{}:
	default:
		s.refuse(s.ctx, m, fault.New(fault.Unavailable, "too many requests wait for "+m.Subject))
		return
	}
	ctx, cancel := s.lifetime(m)
	s.under.Go(func() {
		defer func() { cancel(); <-s.seats }()
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-s.slots }()
		if ctx.Err() == nil { // else nobody waits any more
			s.answer(ctx, m, name, fn)
		}
	})
}

// lifetime gives the context of a request that has just come: it ends when its asker stops waiting.
func (s *Server) lifetime(m *nats.Msg) (context.Context, context.CancelFunc) {
	ctx := propagation.TraceContext{}.Extract(s.ctx, propagation.HeaderCarrier(m.Header))
	ms, err := strconv.ParseInt(m.Header.Get(headerTimeout), 10, 32)
	if err != nil || ms <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
}

func (s *Server) answer(ctx context.Context, m *nats.Msg, name string, fn handler) {
	ctx, span := s.tracer.Start(ctx, m.Subject, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("rpc.system", "nats"), attribute.String("rpc.method", name)))
	defer span.End()
	reply, err := call(ctx, m.Data, fn)
	if err == nil {
		var body []byte
		if body, err = proto.Marshal(reply); err == nil {
			if err = m.Respond(body); !errors.Is(err, nats.ErrMaxPayload) {
				s.sent(ctx, m, err)
				return
			}
		}
	}
	if fault.CodeOf(err) == fault.Internal && ctx.Err() != nil {
		err = fault.Wrap(fault.Unavailable, "no answer to "+m.Subject+" in time", err) // nobody waits for it either
	}
	f := fault.From(err)
	span.SetStatus(codes.Error, f.Message)
	span.SetAttributes(attribute.String("fault.code", string(f.Code)))
	if f.Code == fault.Internal {
		s.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("subject", m.Subject), slog.Any("error", err))
	}
	s.refuse(ctx, m, f)
}

// call runs fn. A panic is one request's, not the end of all services in this process.
func call(ctx context.Context, body []byte, fn handler) (reply proto.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(ctx, body)
}

func (s *Server) refuse(ctx context.Context, m *nats.Msg, f *fault.Error) {
	reply := nats.NewMsg(m.Reply)
	reply.Header.Set(micro.ErrorCodeHeader, string(f.Code))
	reply.Header.Set(micro.ErrorHeader, f.Message)
	if len(f.Problems) > 0 {
		reply.Data, _ = json.Marshal(f.Problems) // strings always can be
	}
	s.sent(ctx, m, m.RespondMsg(reply))
}

// sent notes when an answer could not be sent: the asker waits in vain.
func (s *Server) sent(ctx context.Context, m *nats.Msg, err error) {
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "answer not sent", slog.String("subject", m.Subject), slog.Any("error", err))
	}
}
