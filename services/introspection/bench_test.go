package introspection_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// BenchmarkCachedIntrospection is one question over NATS, answered from the cache, from as many callers as
// there are processors and from one.
func BenchmarkCachedIntrospection(b *testing.B) {
	w, f := newWorld(b), newFakeProvider(b)
	w.site(w.provider(f.URL))
	w.run(nil)
	tokens := make([]string, 1000)
	for i := range tokens {
		tokens[i] = "good-0123456789abcdef0123456789abcdef-" + strconv.Itoa(i)
		w.active(tokens[i])
	}
	one := func(i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r := new(identityv1.IntrospectReply)
		q := &identityv1.IntrospectRequest{Site: "jira", Token: tokens[i%len(tokens)], ConfigSequence: w.at.Seq}
		if err := ask.Do(ctx, w.gw, topology.Introspect, q, r); err != nil || !r.GetActive() {
			b.Error(r, err)
		}
	}
	b.Run("one caller", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			one(i)
		}
	})
	b.Run("64 callers", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for i := 0; p.Next(); i++ {
				one(i)
			}
		})
	})
}
