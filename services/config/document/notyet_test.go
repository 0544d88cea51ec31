package document

import (
	"slices"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

func TestWhatIsNotEnforcedIsSaid(t *testing.T) {
	t.Parallel()
	_, problems, warnings := judge(`
sites:
- id: jira
  product: jira
  mode: observe
  nodes: [{id: n1, url: "http://10.0.0.1:8080"}]
  ip: {restrict: true, allow: ["10.0.0.0/8"]}
  rate_limit: {enabled: true}
`, YAML)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	warnings = slices.DeleteFunc(warnings, func(p fault.Problem) bool { return p.Message != notEnforced })
	if got := paths(warnings); !slices.Equal(got, []string{"sites[0].ip.restrict", "sites[0].mode", "sites[0].rate_limit.enabled"}) {
		t.Errorf("warned of %v", got)
	}
}
