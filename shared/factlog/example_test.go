package factlog_test

import (
	"fmt"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
)

func Example() {
	data, err := factlog.Encode(&configv1.Commit{Why: "first site", RequestId: "r1"}, []proto.Message{
		&configv1.SiteRegistered{Site: "jira", Product: "jira"},
	})
	if err != nil {
		panic(err)
	}
	commit, facts, err := factlog.Decode(configv1.File_config_v1_facts_proto, data)
	if err != nil {
		panic(err)
	}
	fmt.Println(commit.GetWhy(), factlog.TypeOf(facts[0]), factlog.LevelOf(facts[0]))
	// Output: first site SiteRegistered 1
}
