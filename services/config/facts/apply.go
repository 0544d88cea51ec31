package facts

import (
	"fmt"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// Apply gives what facts make of a configuration, as every follower will fold them. It changes nothing it is
// given.
func Apply(from configlog.Config, facts []proto.Message) (configlog.Config, error) {
	f := configlog.Folded{Config: document.Shown(from)} // a copy
	for _, fact := range facts {
		if err := f.Fold(fact); err != nil {
			return configlog.Config{}, fmt.Errorf("apply %s: %w", factlog.TypeOf(fact), err)
		}
	}
	return f.Config, nil
}
