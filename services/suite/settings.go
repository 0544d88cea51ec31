package suite

import (
	"fmt"

	"github.com/gatehouse-suite/gatehouse/shared/settings"

	"github.com/gatehouse-suite/gatehouse/services/audit"
	"github.com/gatehouse-suite/gatehouse/services/config"
	"github.com/gatehouse-suite/gatehouse/services/gateway"
	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/ratelimit"
)

// Settings of the suite: its own, and those of each service.
type Settings struct {
	own
	// Lab runs the lab too, and configures its sites when there is no configuration yet.
	Lab bool

	Config        config.Settings
	Introspection introspection.Settings
	Gateway       gateway.Settings
	RateLimit     ratelimit.Settings
	Audit         audit.Settings
}

// own are the settings that no service has.
type own struct {
	// DataDir is where everything is kept.
	DataDir string `env:"DATA_DIR" envDefault:"data"`
	// DatabaseURL is a Postgres to use; empty: one of our own below DataDir.
	DatabaseURL string `env:"DATABASE_URL"`
	// NATSListen is where the embedded NATS server takes clients.
	NATSListen string `env:"NATS_LISTEN" envDefault:"127.0.0.1:4222"`
	// AdminToken is the first admin's token; empty: made at the first start and kept in DataDir/admin-token.
	AdminToken string `env:"ADMIN_TOKEN"`
	// LabListen is where the lab's OAuth provider listens; when set, the lab's nodes take free ports.
	LabListen string `env:"LAB_LISTEN"`
}

// Load reads all of it from the environment.
func Load(environ []string) (Settings, error) {
	var s Settings
	var err error
	load := func(name string, one func() error) {
		if err == nil {
			if err = one(); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	load("suite", func() (err error) { s.own, err = settings.Load[own](environ); return })
	load("config", func() (err error) { s.Config, err = settings.Load[config.Settings](environ); return })
	load("introspection", func() (err error) { s.Introspection, err = settings.Load[introspection.Settings](environ); return })
	load("gateway", func() (err error) { s.Gateway, err = settings.Load[gateway.Settings](environ); return })
	load("ratelimit", func() (err error) { s.RateLimit, err = settings.Load[ratelimit.Settings](environ); return })
	load("audit", func() (err error) { s.Audit, err = settings.Load[audit.Settings](environ); return })
	return s, err
}
