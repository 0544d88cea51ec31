package audittrail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// recorder is one at work, through a wire that a test can do harm to.
type recorder struct {
	*audittrail.Recorder
	wire *wire
	stop func() // and wait until it has ended
}

func start(t testing.TB, n *testkit.NATS, grace time.Duration) *recorder {
	t.Helper()
	w := &wire{inner: n}
	s := n.Settings(topology.Config)
	s.InProcess = w
	nc, err := bus.Connect(context.WithoutCancel(t.Context()), testkit.Logger(t), topology.Config, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Recorder: audittrail.NewRecorder(js, testkit.Logger(t), audittrail.FromConfig), wire: w}
	r.stop = r.Start(t.Context(), grace)
	t.Cleanup(r.stop)
	return r
}

// wire is a NATS server that loses an acknowledgement, or says nothing for a while.
type wire struct {
	inner nats.InProcessConnProvider
	lose  atomic.Bool // the next acknowledgement of stream AUDIT, and the connection with it
	lost  atomic.Int32
	held  sync.RWMutex // while it is locked, nothing of the server gets through
}

func (w *wire) InProcessConn() (net.Conn, error) {
	c, err := w.inner.InProcessConn()
	return wired{c, w}, err
}

type wired struct {
	net.Conn
	*wire
}

func (c wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.held.RLock()
	defer c.held.RUnlock()
	if bytes.Contains(p[:n], []byte(`"stream":"AUDIT"`)) && c.lose.CompareAndSwap(true, false) {
		c.lost.Add(1)
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// kept gives what the stream holds, as the audit service takes it: what was there already is dropped by its number.
// It makes sure that every epoch is numbered without a gap and chained.
func kept(t testing.TB, n *testkit.NATS) (requests []string) {
	t.Helper()
	type source struct {
		last uint64
		hash audittrail.Hash
	}
	sources := map[uint64]source{}
	for _, b := range batches(t, n) {
		s, ok := sources[b.GetEpoch()]
		if !ok {
			s.hash = audittrail.Genesis(audittrail.Hash{}, b.GetGateway(), b.GetEpoch())
		}
		if last := b.GetFirst() + uint64(len(b.GetRecords())) - 1; last <= s.last {
			continue
		}
		if b.GetFirst() != s.last+1 || !bytes.Equal(b.GetPrevHash(), s.hash[:]) {
			t.Fatalf("batch at %d behind %d", b.GetFirst(), s.last)
		}
		for _, r := range b.GetRecords() {
			encoded, err := audittrail.Encode(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			s.hash, s.last = audittrail.Next(s.hash, encoded), s.last+1
			requests = append(requests, r.GetRequestId())
		}
		if !bytes.Equal(b.GetHash(), s.hash[:]) {
			t.Fatalf("the chain breaks behind %d", s.last)
		}
		sources[b.GetEpoch()] = s
	}
	return requests
}

func batches(t testing.TB, n *testkit.NATS) (all []*auditv1.Batch) {
	t.Helper()
	stream, err := n.JetStream(t, topology.Audit).Stream(t.Context(), topology.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		b := &auditv1.Batch{}
		if err := proto.Unmarshal(m.Data, b); err != nil || m.Subject != topology.AuditIn(b.GetGateway()) {
			t.Fatal(m.Subject, err)
		}
		all = append(all, b)
	}
	return all
}

func request(i int) *auditv1.Record { return &auditv1.Record{RequestId: fmt.Sprintf("r%04d", i)} }

// brief is a context that ends before NATS is back.
func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, fault.New(fault.Unavailable, "")) {
		t.Errorf("got %v", err)
	}
}

func TestARecordIsInTheStreamOnceItIsTaken(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	given := &auditv1.Record{Kind: audittrail.AdminSignedIn, User: "al\x00ice\xff", Detail: strings.Repeat("x", 2000), Change: "{"}
	before := proto.CloneOf(given)
	if err := r.Record(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(given, before) {
		t.Error("the record was changed")
	}
	got := batches(t, n)
	if len(got) != 1 || got[0].GetGateway() != audittrail.FromConfig || got[0].GetFirst() != 1 || got[0].GetOldest() != 1 {
		t.Fatalf("got %v", got)
	}
	record := got[0].GetRecords()[0]
	if record.GetUser() != "al␀ice�" || len(record.GetDetail()) > 1024 || record.GetTime() == 0 || !strings.Contains(record.GetChange(), "left_out") {
		t.Errorf("got %v", record)
	}
	kept(t, n)
}

func TestManyAtOnceAreNumberedWithoutAGap(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if err := r.Record(t.Context(), request(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := kept(t, n)
	slices.Sort(got)
	if len(slices.Compact(got)) != 1000 {
		t.Errorf("%d of 1000 are there", len(slices.Compact(got)))
	}
}

func TestALargeChangeFitsIntoAMessage(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			record := request(i)
			record.Change = `"` + strings.Repeat("x", audittrail.MaxChange-2) + `"`
			if err := r.Record(t.Context(), record); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := kept(t, n); len(got) != 20 {
		t.Errorf("%d of 20 are there", len(got))
	}
}

func TestWhatWasRecordedWhileNATSWasAwayGoesOut(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	if err := r.Record(t.Context(), request(0)); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	for i := 1; i < 5; i++ {
		wantUnavailable(t, r.Record(brief(t), request(i)))
	}
	n.Start(t)
	if err := r.Record(t.Context(), request(5)); err != nil {
		t.Fatal(err)
	}
	if got, want := kept(t, n), []string{"r0000", "r0001", "r0002", "r0003", "r0004", "r0005"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALostAcknowledgementDoublesNothing(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	for i := range 20 {
		r.wire.lose.Store(i%3 == 0)
		if err := r.Record(t.Context(), request(i)); err != nil {
			t.Fatal(err)
		}
	}
	if lost := r.wire.lost.Load(); lost != 7 {
		t.Errorf("%d acknowledgements lost, want 7", lost)
	}
	if got := batches(t, n); len(got) != 20 {
		t.Errorf("%d messages, want 20", len(got))
	}
	if got := kept(t, n); len(got) != 20 {
		t.Errorf("%d records, want 20", len(got))
	}
}

// TestNATSSlow: what is sent again because no answer came is what was sent.
func TestNATSSlow(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, time.Second)
	r.wire.held.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // one attempt is over by then
	defer cancel()
	wantUnavailable(t, r.Record(ctx, request(0)))
	r.wire.held.Unlock()
	if err := r.Record(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	if got, want := kept(t, n), []string{"r0000", "r0001"}; !slices.Equal(got, want) || len(batches(t, n)) != 2 {
		t.Errorf("got %v in %d messages, want %v", got, len(batches(t, n)), want)
	}
}

func TestTwoOfTheSameNameAreTwoEpochs(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	one, two := start(t, n, time.Second), start(t, n, time.Second)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if err := []*recorder{one, two}[i%2].Record(t.Context(), request(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := kept(t, n)
	slices.Sort(got)
	if len(got) != 200 || len(slices.Compact(got)) != 200 {
		t.Errorf("%d of 200 are there", len(got))
	}
}

func TestTheEndShipsWhatIsLeft(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, 20*time.Second)
	n.Stop()
	wantUnavailable(t, r.Record(brief(t), request(0)))
	ended := make(chan struct{})
	go func() { r.stop(); close(ended) }()
	n.Start(t)
	<-ended
	if got := kept(t, n); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	wantUnavailable(t, r.Record(t.Context(), request(1)))
}

func TestTheEndWaitsNoLongerThanGrace(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, 50*time.Millisecond)
	n.Stop()
	told := make(chan error, 1)
	go func() { told <- r.Record(context.WithoutCancel(t.Context()), request(0)) }()
	wantUnavailable(t, r.Record(brief(t), request(1)))
	r.stop()
	wantUnavailable(t, <-told)
}

func TestFullIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	r := start(t, n, 0)
	n.Stop()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 10_000 {
		wantUnavailable(t, r.Record(ended, request(i)))
	}
	err := r.Record(t.Context(), request(10_000)) // would wait for ever
	wantUnavailable(t, err)
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
	n.Start(t)
	testkit.Until(t, "room", func() bool { return r.Record(t.Context(), request(10_001)) == nil })
	if got := kept(t, n); len(got) != 10_001 || got[10_000] != "r10001" {
		t.Errorf("%d are there", len(got))
	}
}
