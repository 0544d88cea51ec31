package ask_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is what the tests ask and answer with.
type text = wrapperspb.StringValue

type handler func(context.Context, *text) (proto.Message, error)

// echo answers with what it was asked.
func echo(_ context.Context, r *text) (proto.Message, error) {
	return wrapperspb.String(r.GetValue()), nil
}

// options of a served subject.
type options struct {
	log    *slog.Logger
	tracer trace.Tracer
	ask.Settings
}

// serve answers WhoAmI, which gateways ask, until the test ends.
func serve(t testing.TB, nc *nats.Conn, o options, fn handler) *ask.Server {
	t.Helper()
	if o.log == nil {
		o.log = testkit.Logger(t)
	}
	if o.tracer == nil {
		o.tracer = noop.NewTracerProvider().Tracer("")
	}
	o.Name, o.Version = "tests", "0.1.0"
	s, err := ask.NewServer(context.WithoutCancel(t.Context()), nc, o.log, o.tracer, o.Settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	if err := ask.Handle(s, "whoami", topology.WhoAmI, fn); err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, o options, fn handler) (asker *nats.Conn, server *ask.Server) {
	t.Helper()
	n := testkit.StartNATS(t)
	server = serve(t, n.Connect(t, topology.Introspection), o, fn)
	return n.Connect(t, topology.Gateway), server
}

// do asks with a deadline that no test should need.
func do(t testing.TB, nc *nats.Conn, what string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var reply text
	err := ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String(what), &reply)
	return reply.GetValue(), err
}

func wantFault(t testing.TB, err error, code fault.Code, message string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code || !strings.Contains(f.Message, message) {
		t.Errorf("got %v (%s), want %s: %s", err, fault.CodeOf(err), code, message)
	}
}

func TestWhatIsAskedIsAnswered(t *testing.T) {
	t.Parallel()
	nc, _ := start(t, options{}, echo)
	if got, err := do(t, nc, "hello"); err != nil || got != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestNobodyIsWaitedForLongerThanAnAnswerIsLetThrough(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	nc, _ := start(t, options{}, func(ctx context.Context, r *text) (proto.Message, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return r, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String("hello"), new(text)); err != nil {
		t.Fatal(err)
	}
	if got := <-left; got > ask.Longest || got < ask.Longest/2 {
		t.Errorf("waits for %s", got)
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	_, err := do(t, testkit.StartNATS(t).Connect(t, topology.Gateway), "hello")
	wantFault(t, err, fault.Unavailable, "nobody answers "+topology.WhoAmI)
}

func TestWhoeverComesALittleLateIsAskedStill(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	asker, answerer, heard := n.Connect(t, topology.Gateway), n.Connect(t, topology.Introspection), make(chan string, 1)
	go func() {
		got, err := do(t, asker, "hello")
		heard <- fmt.Sprint(got, " ", err)
	}()
	testkit.Until(t, "the word that nobody is there", func() bool { return asker.Stats().InMsgs > 0 })
	serve(t, answerer, options{}, echo)
	if got := <-heard; got != "hello <nil>" {
		t.Error(got)
	}
}

func TestNATSIsAway(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	nc := n.Connect(t, topology.Gateway)
	gone := nc.StatusChanged(nats.RECONNECTING)
	n.Stop()
	<-gone
	_, err := do(t, nc, "hello")
	wantFault(t, err, fault.Unavailable, "NATS is away")
	nc.Close()
	_, err = do(t, nc, "hello")
	wantFault(t, err, fault.Unavailable, "NATS is away")
}

func TestNoAnswerInTimeEndsTheHandlerToo(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	nc, _ := start(t, options{}, func(ctx context.Context, _ *text) (proto.Message, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String(""), &text{})
	wantFault(t, err, fault.Unavailable, "in time")
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the handler's context ended with %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	err = ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String(""), &text{})
	wantFault(t, err, fault.Unavailable, "no longer waited for")
}

func TestWhoBringsNoDeadlineGetsOne(t *testing.T) {
	t.Parallel()
	nc, _ := start(t, options{}, func(ctx context.Context, _ *text) (proto.Message, error) {
		deadline, ok := ctx.Deadline()
		return wrapperspb.String(fmt.Sprint(ok, time.Until(deadline) > 5*time.Second)), nil
	})
	var got text
	if err := ask.Do(t.Context(), nc, topology.WhoAmI, wrapperspb.String(""), &got); err != nil || got.GetValue() != "true true" {
		t.Fatalf("%q, %v", got.GetValue(), err)
	}
}

func TestTooManyWaitingAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	release, entered := make(chan struct{}), make(chan struct{}, 8)
	nc, _ := start(t, options{Settings: ask.Settings{Workers: 2, Waiting: 1}}, func(_ context.Context, r *text) (proto.Message, error) {
		entered <- struct{}{}
		<-release
		return r, nil
	})
	answers := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := do(t, nc, "")
			answers <- err
		}()
	}
	for range 5 { // two run, one waits
		wantFault(t, <-answers, fault.Unavailable, "too many requests wait")
	}
	<-entered
	<-entered
	close(release)
	for range 3 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func TestNoMoreRequestsThanWorkersRunAtOnce(t *testing.T) {
	t.Parallel()
	const workers = 4
	var running, most atomic.Int64
	full := make(chan struct{})
	nc, _ := start(t, options{Settings: ask.Settings{Workers: workers}}, func(_ context.Context, r *text) (proto.Message, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		if now == workers {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full // all workers are busy at least once
		return r, nil
	})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := do(t, nc, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != workers {
		t.Fatalf("%d at once, want %d", most.Load(), workers)
	}
}

func TestFaultsTravelAndOtherTextDoesNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		code    fault.Code
		message string
	}{
		"fault":        {fault.New(fault.NotFound, "no such site"), fault.NotFound, "no such site"},
		"wrapped":      {fmt.Errorf("look: %w", fault.Wrap(fault.Conflict, "changed", errors.New("10.1.2.3"))), fault.Conflict, "changed"},
		"two lines":    {fault.New(fault.Invalid, "one\r\nNats-Forged: two"), fault.Invalid, "one"},
		"no text":      {fault.New(fault.Limited, ""), fault.Limited, ""},
		"own code":     {fault.New("gateways_too_old", "update them"), fault.Internal, "update them"},
		"unclassified": {errors.New("password of db: hunter2"), fault.Internal, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			nc, _ := start(t, options{log: slog.New(slog.NewTextHandler(&log, nil))}, func(context.Context, *text) (proto.Message, error) { return nil, c.err })
			_, err := do(t, nc, "")
			wantFault(t, err, c.code, c.message)
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "10.1.2.3") {
				t.Errorf("text that was never classified has left: %v", err)
			}
			if logged := strings.Contains(log.String(), "hunter2"); logged != (name == "unclassified") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestProblemsTravel(t *testing.T) {
	t.Parallel()
	problems := []fault.Problem{{Path: "sites[0].id", Message: "missing"}, {Path: "audit", Message: "“odd”"}}
	nc, _ := start(t, options{}, func(context.Context, *text) (proto.Message, error) {
		return nil, fault.New(fault.Invalid, "two problems").WithProblems(problems...)
	})
	_, err := do(t, nc, "")
	if diff := cmp.Diff(problems, fault.From(err).Problems); diff != "" {
		t.Fatal(diff)
	}
}

func TestAPanicIsOneRequestsOnly(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	nc, _ := start(t, options{log: slog.New(slog.NewTextHandler(&log, nil))}, func(_ context.Context, r *text) (proto.Message, error) {
		if r.GetValue() == "bad" {
			panic("hunter2")
		}
		return r, nil
	})
	_, err := do(t, nc, "bad")
	wantFault(t, err, fault.Internal, "internal error")
	if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "ask_test.go") {
		t.Errorf("no stack in the log: %s", log.String())
	}
	if _, err := do(t, nc, "good"); err != nil {
		t.Fatal(err)
	}
}

func TestARequestThatCannotBeReadIsInvalid(t *testing.T) {
	t.Parallel()
	nc, _ := start(t, options{}, echo)
	reply, err := nc.Request(topology.WhoAmI, []byte("\xff\xff\xff"), 10*time.Second)
	if err != nil || reply.Header.Get("Nats-Service-Error-Code") != "invalid" {
		t.Fatalf("%v, %v", reply, err)
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2<<20)
	nc, _ := start(t, options{log: slog.New(slog.DiscardHandler)}, func(context.Context, *text) (proto.Message, error) { return wrapperspb.String(big), nil })
	_, err := do(t, nc, big)
	wantFault(t, err, fault.Invalid, "too large")
	_, err = do(t, nc, "small")
	wantFault(t, err, fault.Internal, "internal error")
}

func TestTheTraceGoesOn(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tracing := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { _ = tracing.Shutdown(context.WithoutCancel(t.Context())) })
	var inside trace.SpanContext
	nc, server := start(t, options{tracer: tracing.Tracer("")}, func(ctx context.Context, r *text) (proto.Message, error) {
		inside = trace.SpanContextFromContext(ctx)
		return r, fault.New(fault.NotFound, "nobody")
	})
	ctx, parent := tracing.Tracer("").Start(t.Context(), "call")
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String(""), &text{})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Name != topology.WhoAmI || got[0].Parent.SpanID() != parent.SpanContext().SpanID() ||
		got[0].SpanContext.TraceID() != parent.SpanContext().TraceID() || got[0].Status.Description != "nobody" {
		t.Fatalf("got %+v", got)
	}
	if inside.SpanID() != got[0].SpanContext.SpanID() {
		t.Error("the handler does not see the span")
	}
}

func TestStopWaitsForWhatHasCome(t *testing.T) {
	t.Parallel()
	release, entered := make(chan struct{}), make(chan struct{}, 100)
	nc, server := start(t, options{Settings: ask.Settings{Workers: 1}}, func(_ context.Context, r *text) (proto.Message, error) {
		entered <- struct{}{}
		<-release
		return r, nil
	})
	answers := make(chan error, 10)
	for range cap(answers) {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest(topology.WhoAmI, inbox, nil); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := sub.NextMsg(10 * time.Second)
			answers <- err
		}()
	}
	if err := nc.Flush(); err != nil { // all have come
		t.Fatal(err)
	}
	<-entered
	stopped := make(chan error)
	go func() { stopped <- server.Stop() }()
	for { // until it takes no more
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String("late"), &text{})
		cancel()
		if fault.CodeOf(err) == fault.Unavailable && strings.Contains(err.Error(), "nobody answers") {
			break
		}
	}
	select {
	case <-stopped:
		t.Fatal("stopped while a request was under way")
	default:
	}
	close(release)
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatalf("stopped again: %v", err)
	}
}

func TestStopWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	nc := n.Connect(t, topology.Introspection)
	server := serve(t, nc, options{}, echo)
	gone := nc.StatusChanged(nats.RECONNECTING)
	n.Stop()
	<-gone
	began := time.Now()
	_ = server.Stop()
	if took := time.Since(began); took > time.Second {
		t.Fatalf("took %s", took)
	}
}

func TestAnswersGoOnWhenNATSIsBack(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	serve(t, n.Connect(t, topology.Introspection), options{}, echo)
	nc := n.Connect(t, topology.Gateway)
	n.Stop()
	n.Start(t)
	testkit.Until(t, "an answer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := ask.Do(ctx, nc, topology.WhoAmI, wrapperspb.String("again"), &text{})
		if err != nil {
			wantFault(t, err, fault.Unavailable, "")
		}
		return err == nil
	})
}

func TestInstancesShareTheLoad(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	var answered [3]atomic.Int64
	for i := range answered {
		serve(t, n.Connect(t, topology.Introspection), options{Settings: ask.Settings{Queue: topology.QueueIntrospection}},
			func(_ context.Context, r *text) (proto.Message, error) {
				answered[i].Add(1)
				return r, nil
			})
	}
	nc := n.Connect(t, topology.Gateway)
	const asked = 120
	for range asked {
		if _, err := do(t, nc, ""); err != nil {
			t.Fatal(err)
		}
	}
	total := int64(0)
	for i := range answered {
		got := answered[i].Load()
		if total += got; got == 0 {
			t.Errorf("instance %d got nothing", i)
		}
	}
	if total != asked {
		t.Errorf("%d answers to %d requests", total, asked)
	}
}

func TestWhatAsksForNoAnswerIsNotHandled(t *testing.T) {
	t.Parallel()
	var handled atomic.Int64
	nc, server := start(t, options{}, func(_ context.Context, r *text) (proto.Message, error) {
		handled.Add(1)
		return r, nil
	})
	if err := errors.Join(nc.Publish(topology.WhoAmI, nil), nc.Flush(), server.Stop()); err != nil {
		t.Fatal(err)
	}
	if handled.Load() != 0 {
		t.Fatal("handled")
	}
}

func TestANameThatMicroRefusesIsAnError(t *testing.T) {
	t.Parallel()
	nc := testkit.StartNATS(t).Connect(t, topology.Introspection)
	_, err := ask.NewServer(t.Context(), nc, testkit.Logger(t), noop.NewTracerProvider().Tracer(""), ask.Settings{Name: "no name", Version: "1"})
	if err == nil || !strings.Contains(err.Error(), "no name") {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkDo(b *testing.B) {
	nc, _ := start(b, options{}, echo)
	for b.Loop() {
		if _, err := do(b, nc, "hello"); err != nil {
			b.Fatal(err)
		}
	}
}

// syncBuffer is a log that two goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
