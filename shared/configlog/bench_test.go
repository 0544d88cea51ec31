package configlog_test

import (
	"fmt"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
)

// BenchmarkFold10000Commits is what a gateway does at its first start: some sites, and then change upon change.
func BenchmarkFold10000Commits(b *testing.B) {
	const commits = 10_000
	for _, sites := range []int{1, 50} {
		b.Run(fmt.Sprintf("%d sites", sites), func(b *testing.B) {
			var at eventlog.State
			var log []eventlog.Commit
			add := func(facts ...proto.Message) {
				c := eventlog.Commit{Prev: at.Hash, Data: encode(b, at.Seq, facts...)}
				at = at.Next(c.Data)
				c.State = at
				log = append(log, c)
			}
			for i := range commits {
				site := fmt.Sprintf("site%d", i%sites)
				if i < sites {
					add(registered(site), &configv1.NodeAttached{Site: site, Node: "n1", Url: "http://10.0.0.1:8080"},
						&configv1.ProviderTrusted{Site: site, Provider: &configv1.Provider{Id: "corp", Clients: []*configv1.ClientMapping{{ClientId: "ci"}}}},
						&configv1.UpstreamAccountSet{Site: site, Account: "svc-api"})
					continue
				}
				switch i % 3 {
				case 0:
					add(&configv1.AllowedGroupsSet{Site: site, Groups: []string{"a", "b", fmt.Sprint(i)}})
				case 1:
					add(&configv1.NodeAttached{Site: site, Node: "n1", Url: fmt.Sprint("http://10.0.0.1:", i)})
				default:
					add(&configv1.UpstreamAccountSet{Site: site, Account: "svc-api", Credential: &configv1.Secret{Ref: "x", Version: uint32(i)}})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				f := configlog.NewFollower(testkit.Logger(b), nil, configlog.Options{})
				for _, c := range log {
					if err := f.Apply(c); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/commits, "µs/commit")
		})
	}
}

// BenchmarkSnapshot is what each call pays for its configuration.
func BenchmarkSnapshot(b *testing.B) {
	f := configlog.NewFollower(testkit.Logger(b), nil, configlog.Options{Start: someSnapshot()})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if f.Snapshot() == nil {
				b.Fatal("none")
			}
		}
	})
}
