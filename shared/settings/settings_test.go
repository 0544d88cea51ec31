package settings_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/settings"
)

// Example is exported because an embedded struct is only filled when it is.
type Example struct {
	Listen string        `env:"GATEWAY_LISTEN" envDefault:"127.0.0.1:8080"`
	Wait   time.Duration `env:"WAIT" envDefault:"5s"`
	Count  int           `env:"COUNT"`
}

func ExampleLoad() {
	s, err := settings.Load[Example]([]string{"GATEHOUSE_GATEWAY_LISTEN=:9090", "HOME=/root"})
	fmt.Println(s.Listen, s.Wait, err)
	// Output: :9090 5s <nil>
}

// nested is what a service's settings look like: its own, and those of what it stands on.
type nested struct {
	Example
	Level   slog.Level `env:"LEVEL" envDefault:"info"`
	Token   string     `env:"TOKEN,required"`
	Private any        `env:"-"`
}

func TestEveryWrongVariableIsNamed(t *testing.T) {
	t.Parallel()
	_, err := settings.Load[nested]([]string{"GATEHOUSE_WAIT=soon", "GATEHOUSE_COUNT=many", "GATEHOUSE_LEVEL=loud"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"GATEHOUSE_WAIT: ", `"soon"`, "GATEHOUSE_COUNT: ", `"many"`, "GATEHOUSE_LEVEL: ", "GATEHOUSE_TOKEN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	for _, odd := range []string{"field", "Wait"} {
		if strings.Contains(err.Error(), odd) {
			t.Errorf("an operator knows no %s: %v", odd, err)
		}
	}
}

func TestNoStructNoSettings(t *testing.T) {
	t.Parallel()
	if _, err := settings.Load[int](nil); err == nil {
		t.Fatal("loaded")
	}
}

func TestOnlyOurVariablesAreRead(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[Example]([]string{"COUNT=1", "gatehouse_COUNT=2", "XGATEHOUSE_COUNT=3", "GATEHOUSE_COUNT", "=GATEHOUSE_COUNT=4"})
	if err != nil || s.Count != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestTheLastOfTwoCounts(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[Example]([]string{"GATEHOUSE_COUNT=1", "GATEHOUSE_COUNT=2"})
	if err != nil || s.Count != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestSecretsComeFromWhereTheyAreLookedUp(t *testing.T) {
	t.Setenv("GATEHOUSE_SECRET_TEST", "set")
	if got, ok := settings.SecretEnv(nil)("GATEHOUSE_SECRET_TEST"); got != "set" || !ok {
		t.Errorf("the process's own: %q", got)
	}
	given := settings.SecretEnv(func(name string) (string, bool) { return "given " + name, true })
	if got, _ := given("X"); got != "given X" {
		t.Errorf("given: %q", got)
	}
}

func TestAnEmptyVariableIsAbsent(t *testing.T) {
	t.Parallel()
	s, err := settings.Load[Example]([]string{"GATEHOUSE_GATEWAY_LISTEN="})
	if err != nil || s.Listen != "127.0.0.1:8080" {
		t.Fatalf("got %q, %v", s.Listen, err)
	}
}
