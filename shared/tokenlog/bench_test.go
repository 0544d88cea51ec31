package tokenlog_test

import (
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
)

const many = 200_000

// BenchmarkCheck is what a call pays for its API token, with 200,000 of them: whether it can be one, its SHA-256, whose it is.
func BenchmarkCheck(b *testing.B) {
	var r tokenlog.Registry
	texts := make([]string, many)
	for i := range texts {
		texts[i] = opaque.New(tokenlog.Prefix)
		sum := opaque.Hash(texts[i])
		fact := issued(uint64(i))
		fact.Sha256 = sum[:]
		fold(b, &r, fact)
	}
	r.Publish()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			text := texts[i*7919%many]
			if !opaque.WellFormed(tokenlog.Prefix, text) || r.Find(opaque.Hash(text)) == nil {
				b.Fatal(text)
			}
		}
	})
}

// BenchmarkMemory is what 200,000 tokens take of a gateway, by the token.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := new(tokenlog.Registry)
		for i := range uint64(many) {
			fold(b, r, issued(i))
		}
		r.Publish()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/token")
		runtime.KeepAlive(r)
	}
}

// BenchmarkFollowFrom0 is what a gateway does at its first start: 200,000 commits are decoded and folded.
func BenchmarkFollowFrom0(b *testing.B) {
	log := make([][]byte, many)
	for i := range log {
		log[i] = encode(b, uint64(i), issued(uint64(i)))
	}
	for b.Loop() {
		f := tokenlog.NewFollower(testkit.Logger(b), nil, tokenlog.Options{})
		for _, data := range log {
			_, facts, err := tokenlog.Decode(data)
			if err != nil {
				b.Fatal(err)
			}
			fold(b, &f.Registry, facts...)
		}
		f.Registry.Publish()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
}

// BenchmarkChange is one change among few and among many tokens.
func BenchmarkChange(b *testing.B) {
	for _, size := range []uint64{1000, many} {
		b.Run(strconv.FormatUint(size, 10), func(b *testing.B) {
			var r tokenlog.Registry
			all := make([]proto.Message, size)
			for i := range size {
				all[i] = issued(i)
			}
			fold(b, &r, all...)
			r.Publish()
			n := size
			for b.Loop() {
				fold(b, &r, issued(n))
				r.Publish()
				n++
			}
		})
	}
}
