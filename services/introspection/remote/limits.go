package remote

import (
	"cmp"
	"time"
)

// Limits bound the calls of others. What is zero has its default.
type Limits struct {
	// ConnectTimeout bounds one connection to a provider or node, CallTimeout one call with its answer.
	ConnectTimeout time.Duration `env:"PROVIDER_CONNECT_TIMEOUT"` // default 2 s
	CallTimeout    time.Duration `env:"PROVIDER_CALL_TIMEOUT"`    // default 5 s
	// Concurrency is how many calls one provider, or the nodes of one site, get at once; four times as many
	// wait, what is beyond is refused.
	Concurrency int `env:"PROVIDER_CONCURRENCY"` // default 64
	// A provider is left alone after BreakerFailures different tokens failed within BreakerWindow, for
	// BreakerPause, then twice that and so on up to BreakerMaxPause.
	BreakerFailures int           `env:"BREAKER_FAILURES"`  // default 5
	BreakerWindow   time.Duration `env:"BREAKER_WINDOW"`    // default 10 s
	BreakerPause    time.Duration `env:"BREAKER_PAUSE"`     // default 2 s
	BreakerMaxPause time.Duration `env:"BREAKER_MAX_PAUSE"` // default 30 s
}

// WithDefaults gives the limits with every default filled in.
func (l Limits) WithDefaults() Limits {
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, 2*time.Second)
	l.CallTimeout = cmp.Or(l.CallTimeout, 5*time.Second)
	l.Concurrency = cmp.Or(l.Concurrency, 64)
	l.BreakerFailures = cmp.Or(l.BreakerFailures, 5)
	l.BreakerWindow = cmp.Or(l.BreakerWindow, 10*time.Second)
	l.BreakerPause = cmp.Or(l.BreakerPause, 2*time.Second)
	l.BreakerMaxPause = cmp.Or(l.BreakerMaxPause, 30*time.Second)
	return l
}
