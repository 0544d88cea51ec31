package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/proto"
)

// Settings of the service. What is zero has its default; every interval is a setting so that tests shorten it.
type Settings struct {
	bus.Settings

	// AdminListen is where the admin API listens.
	AdminListen string `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:8081"`
	// Listener is used instead of AdminListen when it is set.
	Listener net.Listener
	// AdminToken is the first admin's token, of which only the digest is kept; none: DataDir/admin-token is
	// read, or made. Several instances, and the audit service, want the same.
	AdminToken adminauth.Digest `env:"ADMIN_TOKEN"`
	// SignInEvery is after how long an admin who goes on is recorded as signing in again; default 15 min, negative:
	// never.
	SignInEvery time.Duration `env:"ADMIN_SIGN_IN_EVERY"`
	// DataDir is the installation's folder.
	DataDir string `env:"DATA_DIR"`
	// Terminal is where a first admin's token that was made is shown, this once and not in the log; default
	// stderr.
	Terminal io.Writer
	// KeysDir holds the recipients secrets are sealed to and the fingerprint key; default DataDir/keys.
	KeysDir string `env:"KEYS_DIR"`
	// AuditURL is where the audit service answers audit/*; empty: nowhere.
	AuditURL string `env:"AUDIT_URL"`

	// Replicas of every stream: 1 on a single NATS server, 3 in a cluster.
	Replicas int `env:"NATS_REPLICAS"`
	// AuditBytes bounds stream AUDIT; default 4 GiB, or what NATS can reserve.
	AuditBytes int64 `env:"AUDIT_STREAM_BYTES"`

	// LogCheck is how often the log is held against the stream; default 1 s.
	LogCheck time.Duration `env:"CONFIG_CHECK"`
	// Retry is how often what failed is tried again: following, healing, making streams; default 1 s.
	Retry time.Duration `env:"CONFIG_RETRY"`
	// EnsureEvery is how often the streams are made sure of though nothing seems wrong; default 1 min.
	EnsureEvery time.Duration `env:"CONFIG_ENSURE_EVERY"`
	// TestsTimeout bounds the saved tests of one change; default 8 s.
	TestsTimeout time.Duration `env:"CONFIG_TESTS_TIMEOUT"`
	// AppendTimeout bounds the deciding, sealing and storing of one change; default 15 s, above an election's 6 s.
	AppendTimeout time.Duration `env:"CONFIG_APPEND_TIMEOUT"`
	// CatchUp is how long an instance waits for a commit another one has made; default 2 s.
	CatchUp time.Duration `env:"CONFIG_CATCH_UP"`
	// GatewayLiveWithin is how long a gateway may be silent and counts as live; default 3 s.
	GatewayLiveWithin time.Duration `env:"GATEWAY_LIVE_WITHIN"`
	// GatewayListEvery is how often the bucket of gateways is read; default 1 s.
	GatewayListEvery time.Duration `env:"GATEWAY_LIST_EVERY"`
	// GatewayHearing is how long gateways are listened for before a new process takes a change, above the second
	// from beat to beat; default 1.5 s.
	GatewayHearing time.Duration `env:"GATEWAY_HEARING"`
	// WaitApplied is how long wait=applied waits; default 10 s.
	WaitApplied time.Duration `env:"CONFIG_WAIT_APPLIED"`
	// Drain bounds how long running requests may take at the end; default 20 s.
	Drain time.Duration `env:"ADMIN_DRAIN"`

	// levelOf gives a fact's level; tests put in their own.
	levelOf func(proto.Message) uint32
}

// complete fills in the defaults, finds the first admin and checks what can be checked.
func (s Settings) complete(log *slog.Logger) (Settings, error) {
	if s.KeysDir == "" && s.DataDir == "" {
		return s, errors.New("no keys folder: set GATEHOUSE_DATA_DIR or GATEHOUSE_KEYS_DIR")
	}
	s.AdminListen = cmp.Or(s.AdminListen, "127.0.0.1:8081")
	s.KeysDir = cmp.Or(s.KeysDir, filepath.Join(s.DataDir, "keys"))
	s.Terminal = cmp.Or[io.Writer](s.Terminal, os.Stderr)
	s.Replicas = cmp.Or(s.Replicas, 1)
	s.LogCheck = cmp.Or(s.LogCheck, time.Second)
	s.Retry = cmp.Or(s.Retry, time.Second)
	s.EnsureEvery = cmp.Or(s.EnsureEvery, time.Minute)
	s.TestsTimeout = cmp.Or(s.TestsTimeout, 8*time.Second)
	s.AppendTimeout = cmp.Or(s.AppendTimeout, 15*time.Second)
	s.CatchUp = cmp.Or(s.CatchUp, 2*time.Second)
	s.GatewayHearing = cmp.Or(s.GatewayHearing, 1500*time.Millisecond)
	s.WaitApplied = cmp.Or(s.WaitApplied, 10*time.Second)
	if s.levelOf == nil {
		s.levelOf = factlog.LevelOf
	}
	if u, err := url.Parse(s.AuditURL); err != nil || (s.AuditURL != "" && (u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"))) {
		return s, errors.New("GATEHOUSE_AUDIT_URL is not a URL such as http://127.0.0.1:8083")
	}
	return s.firstAdmin(log)
}

// firstAdmin reads or makes the token of the first admin, when none was given.
func (s Settings) firstAdmin(log *slog.Logger) (Settings, error) {
	if s.AdminToken != (adminauth.Digest{}) {
		return s, nil
	}
	if s.DataDir == "" {
		log.Warn("there is no first admin: set GATEHOUSE_ADMIN_TOKEN, or GATEHOUSE_DATA_DIR so that one is made. " +
			"Until then only admin tokens that were issued before are taken; a new installation has none")
		return s, nil
	}
	path := filepath.Join(s.DataDir, "admin-token")
	token, made, err := adminauth.FirstToken(path)
	if err != nil {
		return s, err
	}
	if made {
		log.Info("the first admin's token was made", slog.String("file", path))
		_, _ = fmt.Fprintf(s.Terminal, "First admin's token, shown this once and kept in %s: %s\n", path, token)
	}
	s.AdminToken = adminauth.Hash(token)
	return s, nil
}

// enlisted is how long a silent gateway's entry stays in the bucket beyond its stale.max: 5 s of its own, and the
// half minute by which the entry may be older than the gateway's last beat.
const enlisted = 35 * time.Second

// limits gives the limits of the streams. Gateways stay on the list for as long as one that hears nothing may
// go on answering calls, and a little more.
func (s Settings) limits(longest time.Duration) topology.Limits {
	return topology.Limits{Replicas: s.Replicas, AuditBytes: s.AuditBytes, GatewayTTL: max(longest, 5*time.Minute) + enlisted}
}
