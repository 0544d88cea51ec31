package gateway

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func TestAGatewayIsWhoseKeyItHas(t *testing.T) {
	t.Parallel()
	key := func(user topology.Service) bus.Settings {
		return bus.Settings{SeedFile: bus.SeedFile("keys", user)}
	}
	for name, c := range map[string]struct {
		s    Settings
		want string // or part of the error
	}{
		"by its key":        {Settings{Settings: key(topology.GatewayUser("eu-1"))}, "eu-1"},
		"set":               {Settings{ID: "eu-1", Settings: key(topology.Gateway)}, "eu-1"},
		"set as its key is": {Settings{ID: "eu-1", Settings: key(topology.GatewayUser("eu-1"))}, "eu-1"},
		"set otherwise":     {Settings{ID: "eu-2", Settings: key(topology.GatewayUser("eu-1"))}, "is the key of \"eu-1\""},
		"made":              {Settings{}, "gw-"},
	} {
		c.s.DataDir = filepath.Join(t.TempDir(), "data")
		id, err := ID(c.s)
		again, _ := ID(c.s)
		if err != nil {
			id = err.Error()
		} else if again != id {
			t.Errorf("%s: %s, then %s", name, id, again)
		}
		if !strings.Contains(id, c.want) {
			t.Errorf("%s: %s, want %s", name, id, c.want)
		}
	}
}
