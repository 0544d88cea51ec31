package ask

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"
)

// TestARequestThatNobodyWaitsForIsDropped keeps the only worker busy until the time of some that wait is up.
func TestARequestThatNobodyWaitsForIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{
			ctx: t.Context(), log: slog.New(slog.DiscardHandler), tracer: noop.NewTracerProvider().Tracer(""),
			slots: make(chan struct{}, 1), seats: make(chan struct{}, 10),
		}
		release := make(chan struct{})
		var seen []string // by the only worker
		handle := func(ctx context.Context, body []byte) (proto.Message, error) {
			if seen = append(seen, string(body)); len(seen) == 1 {
				<-release
			}
			if err := ctx.Err(); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			return nil, nil //nolint:nilnil // an empty answer
		}
		for _, m := range []struct{ body, timeout string }{
			{"first", ""}, {"patient", "3600000"}, {"short", "30"}, {"forged", "soon"}, {"none", "0"}, {"less than none", "-1"}, {"second short", "999"},
		} {
			msg := &nats.Msg{Reply: "x", Data: []byte(m.body), Header: nats.Header{headerTimeout: {m.timeout}}}
			s.take(msg, "", handle)
			synctest.Wait() // they wait in this order
		}
		timer := time.NewTimer(time.Second)
		<-timer.C
		close(release)
		s.under.Wait()
		if want := []string{"first", "patient", "forged", "none", "less than none"}; !slices.Equal(seen, want) {
			t.Fatalf("the handler saw %q, want %q", seen, want)
		}
		if len(s.seats) != 0 || len(s.slots) != 0 {
			t.Fatal("a place is still taken")
		}
	})
}
