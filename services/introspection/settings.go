package introspection

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/bus"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// Settings of the service. What is zero has its default; every interval is a setting so that tests shorten it.
type Settings struct {
	bus.Settings

	// DataDir is the installation's folder; only the default of KeysDir depends on it.
	DataDir string `env:"DATA_DIR"`
	// KeysDir holds introspection.age, the identity that opens provider secrets; default DataDir/keys.
	KeysDir string `env:"KEYS_DIR"`
	// SecretsDir is the only folder a secret {file: PATH} may be in; empty: none may be named.
	SecretsDir string `env:"SECRETS_DIR"`
	// LookupEnv finds the variables that {env: NAME} names; nil: the process's own environment.
	LookupEnv func(name string) (string, bool) `env:"-"`

	// ProviderCAFile holds certificate authorities (PEM) that providers and nodes are believed by, beside the system's.
	ProviderCAFile string `env:"PROVIDER_CA_FILE"`
	provider.Options

	// Workers is how many requests may be under way at once.
	Workers int `env:"INTROSPECTION_WORKERS"` // default 4096

	// Entries bound the caches: active tokens, inactive tokens, known users (by credential, and by name with their groups),
	// refused credentials and users that no directory knows.
	ActiveEntries   int `env:"CACHE_ACTIVE_ENTRIES"`   // default 100,000
	InactiveEntries int `env:"CACHE_INACTIVE_ENTRIES"` // default 10,000
	KnownEntries    int `env:"CACHE_KNOWN_ENTRIES"`    // default 20,000
	RefusedEntries  int `env:"CACHE_REFUSED_ENTRIES"`  // default 10,000
	// KnownTTL and RefusedTTL are how long a product's word about a PAT or password holds, RefusedTTL also a directory's that
	// there is no such user.
	KnownTTL   time.Duration `env:"WHOAMI_KNOWN_TTL"`   // default 60 s
	RefusedTTL time.Duration `env:"WHOAMI_REFUSED_TTL"` // default 10 s

	// SignInFor is how long a person may take to sign in at a provider.
	SignInFor time.Duration `env:"SIGN_IN_FOR"` // default 10 min
	// StaleRecheck is how often a provider that was away is asked about the tokens that were let in meanwhile.
	StaleRecheck time.Duration `env:"STALE_RECHECK"` // default 5 s
	// NodeRest is how long a node that failed is asked last.
	NodeRest time.Duration `env:"NODE_REST"` // default 5 s

	// CatchUp is how long a request waits for the configuration it was asked under.
	CatchUp time.Duration `env:"CATCH_UP"` // default 1 s
	// LogCheck is how often the configuration log is held against the stream.
	LogCheck time.Duration `env:"CONFIG_CHECK"` // default 1 s
	// SecretRetry is how often secrets that cannot be opened are tried again, SecretRead how often {file} is read again.
	SecretRetry time.Duration `env:"SECRET_RETRY"` // default 1 s
	SecretRead  time.Duration `env:"SECRET_READ"`  // default 15 s
}

func (s Settings) withDefaults() Settings {
	s.KeysDir = cmp.Or(s.KeysDir, filepath.Join(s.DataDir, "keys"))
	s.Options = s.WithDefaults()
	s.Workers = cmp.Or(s.Workers, 4096)
	s.ActiveEntries = cmp.Or(s.ActiveEntries, 100_000)
	s.InactiveEntries = cmp.Or(s.InactiveEntries, 10_000)
	s.KnownEntries = cmp.Or(s.KnownEntries, 20_000)
	s.RefusedEntries = cmp.Or(s.RefusedEntries, 10_000)
	s.KnownTTL = cmp.Or(s.KnownTTL, time.Minute)
	s.RefusedTTL = cmp.Or(s.RefusedTTL, 10*time.Second)
	s.SignInFor = cmp.Or(s.SignInFor, 10*time.Minute)
	s.StaleRecheck = cmp.Or(s.StaleRecheck, 5*time.Second)
	s.NodeRest = cmp.Or(s.NodeRest, 5*time.Second)
	s.CatchUp = cmp.Or(s.CatchUp, time.Second)
	s.LogCheck = cmp.Or(s.LogCheck, time.Second)
	s.SecretRetry = cmp.Or(s.SecretRetry, time.Second)
	s.SecretRead = cmp.Or(s.SecretRead, 15*time.Second)
	return s
}
