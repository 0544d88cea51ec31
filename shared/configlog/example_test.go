package configlog_test

import (
	"fmt"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

// A commit is written, read again and folded.
func Example() {
	data, err := factlog.Encode(&configv1.Commit{Why: "first site", RequestId: "r1"}, []proto.Message{
		&configv1.SiteRegistered{Site: "jira", Product: "jira"},
		&configv1.NodeAttached{Site: "jira", Node: "n1", Url: "http://10.0.0.1:8080"},
		&configv1.ReadOnlyGroupsSet{Site: "jira", Groups: []string{"bots"}},
	})
	if err != nil {
		panic(err)
	}
	commit, facts, err := configlog.Decode(data)
	if err != nil {
		panic(err)
	}
	var state configlog.Folded
	for _, f := range facts {
		if err := state.Fold(f); err != nil {
			panic(err)
		}
	}
	site := state.Config.Site("jira")
	fmt.Println(commit.GetWhy(), site.Nodes[0].URL, site.Groups.ReadOnly, site.Enabled)
	// Output: first site http://10.0.0.1:8080 [bots] false
}

func ExampleDuration() {
	d, err := configlog.ParseDuration("365d")
	fmt.Println(d, d.Std().Hours(), err)
	// Output: 365d 8760 <nil>
}
