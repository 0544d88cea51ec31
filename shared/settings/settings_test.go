package settings_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/settings"
)

type example struct {
	Listen string        `env:"GATEWAY_LISTEN" envDefault:"127.0.0.1:8080"`
	Wait   time.Duration `env:"WAIT" envDefault:"5s"`
	Count  int           `env:"COUNT"`
}

func ExampleLoad() {
	s, err := settings.Load[example]([]string{"GATEHOUSE_GATEWAY_LISTEN=:9090", "HOME=/root"})
	fmt.Println(s.Listen, s.Wait, err)
	// Output: :9090 5s <nil>
}

func TestEveryWrongVariableIsNamed(t *testing.T) {
	t.Parallel()
	_, err := settings.Load[example]([]string{"GATEHOUSE_WAIT=soon", "GATEHOUSE_COUNT=many"})
	if err == nil || !strings.Contains(err.Error(), "Wait") || !strings.Contains(err.Error(), "Count") {
		t.Fatalf("got %v", err)
	}
}

func TestAnEmptyVariableIsAbsent(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[example]([]string{"GATEHOUSE_GATEWAY_LISTEN="})
	if err != nil || s.Listen != "127.0.0.1:8080" {
		t.Fatalf("got %q, %v", s.Listen, err)
	}
}
