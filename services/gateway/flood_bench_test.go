package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// BenchmarkUnknownTokens sends different unknown tokens as fast as the machine gives for 10 s, from one address and from a
// new one each time, while a good token goes on: its p99 beside the one without the flood, in the same run, what the
// provider was asked, and how much the heap grew. Gateway, introspection, provider and product share the machine with the
// flood.
func BenchmarkUnknownTokens(b *testing.B) {
	for _, name := range []string{"one good token", "one address", "an address each"} { // the first for comparison: the same load, and nothing unknown
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			seq := w.commit(append(w.site(), &configv1.ReverseProxySet{Site: "jira", Header: "X-Forwarded-For", TrustedProxies: []string{"127.0.0.1"}})...)
			gw := w.gateway("", func(s *gateway.Settings) { s.UnknownBurst, s.UnknownPerSecond, s.IdentityCache = 100, 2, 100_000 })
			gw.reached(b, seq)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			call := func(token, from string) int {
				r := request(b, http.MethodGet, gw.url+echo, nil, "Authorization", "Bearer "+token, "X-Forwarded-For", from)
				resp, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return 0
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				return resp.StatusCode
			}
			good := w.token()
			p99 := func(d time.Duration) time.Duration {
				var took []time.Duration
				for end := time.Now().Add(d); time.Now().Before(end); {
					began := time.Now()
					if status := call(good, "192.0.2.1"); status != http.StatusOK {
						b.Errorf("the good token: %d", status)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				return took[len(took)*99/100]
			}
			for b.Loop() {
				alone := p99(2 * time.Second)
				asked, before := w.lab.Provider.Introspections(), heap()
				var sent, refused, limited atomic.Int64
				var flood sync.WaitGroup
				end := time.Now().Add(10 * time.Second)
				for k := range 8 {
					flood.Go(func() {
						for i := 0; time.Now().Before(end); i++ {
							from, token := "198.51.100.7", "unknown-"+strconv.Itoa(k)+"-"+strconv.Itoa(i)
							switch name {
							case "one good token":
								token = good
							case "an address each":
								from = fmt.Sprintf("10.%d.%d.%d", k, i>>8&255, i&255)
							}
							switch call(token, from) {
							case http.StatusUnauthorized:
								refused.Add(1)
							case http.StatusTooManyRequests:
								limited.Add(1)
							}
							sent.Add(1)
						}
					})
				}
				beside := p99(9 * time.Second)
				flood.Wait()
				b.ReportMetric(float64(sent.Load())/10, "flood/s")
				b.ReportMetric(float64(w.lab.Provider.Introspections()-asked)/10, "asked/s")
				b.ReportMetric(float64(limited.Load())/float64(max(sent.Load(), 1)), "limited")
				b.ReportMetric(float64(refused.Load())/float64(max(sent.Load(), 1)), "refused")
				b.ReportMetric(float64(alone.Microseconds())/1000, "ms-p99-alone")
				b.ReportMetric(float64(beside.Microseconds())/1000, "ms-p99-beside")
				b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-more")
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
