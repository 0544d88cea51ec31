package provider

import (
	"cmp"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// Options bound how providers are asked. What is zero has its default.
type Options struct {
	remote.Limits

	// What a provider publishes is kept: its metadata is fetched again after MetadataRefresh, its keys after KeysRefresh, behind
	// the back of who needs them; keys that could not be for KeysMaxAge are believed no more. KeysPause is the least time between
	// two tries, so also how often an unknown key id can make us ask.
	MetadataRefresh time.Duration `env:"METADATA_REFRESH"` // default 1 h
	KeysRefresh     time.Duration `env:"KEYS_REFRESH"`     // default 5 min
	KeysMaxAge      time.Duration `env:"KEYS_MAX_AGE"`     // default 1 h
	KeysPause       time.Duration `env:"KEYS_PAUSE"`       // default 10 s
}

// WithDefaults gives the options with every default filled in.
func (o Options) WithDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	o.MetadataRefresh = cmp.Or(o.MetadataRefresh, time.Hour)
	o.KeysRefresh = cmp.Or(o.KeysRefresh, 5*time.Minute)
	o.KeysMaxAge = cmp.Or(o.KeysMaxAge, time.Hour)
	o.KeysPause = cmp.Or(o.KeysPause, 10*time.Second)
	return o
}
