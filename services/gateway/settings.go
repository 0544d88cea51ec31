package gateway

import (
	"net"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/bus"

	"github.com/gatehouse-suite/gatehouse/services/gateway/spool"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// Settings of a gateway process.
type Settings struct {
	// Listen is where clients call.
	Listen string `env:"GATEWAY_LISTEN" envDefault:"127.0.0.1:8080"`
	// TLSCert and TLSKey are PEM files of a certificate chain and its key: clients speak TLS then, HTTP/2 or HTTP/1.1. New
	// files are used within CertificateCheck. Both or none; none: plain HTTP/1.1, for loopback and behind a proxy.
	TLSCert string `env:"GATEWAY_TLS_CERT"`
	TLSKey  string `env:"GATEWAY_TLS_KEY"`
	// CertificateCheck is how often the two files are read again.
	CertificateCheck time.Duration `env:"GATEWAY_TLS_CHECK" envDefault:"10s"`
	// ID names the gateway in the installation; empty: the one whose NATS key it has (nats/gateway.ID.nk), else made at
	// the first start and kept in DataDir.
	ID string `env:"GATEWAY_ID"`
	// DataDir keeps what a restart needs: the gateway's id and its Snapshot file.
	DataDir string `env:"DATA_DIR" envDefault:"data"`
	// KeysDir holds gateway.age; empty: keys below DataDir.
	KeysDir string `env:"KEYS_DIR"`
	// SecretsDir is the only folder that {file: PATH} may read; empty: none.
	SecretsDir string `env:"SECRETS_DIR"`
	// IdentityTimeout bounds a question to introspection.
	IdentityTimeout time.Duration `env:"IDENTITY_TIMEOUT" envDefault:"8s"`
	// IdentityCache is how many good credentials are remembered, about 1 KiB each; refused ones get a tenth.
	IdentityCache int `env:"IDENTITY_CACHE" envDefault:"100000"`
	// UnknownBurst is how many credentials that turn out to be nobody's an address may have judged, UnknownPerSecond how many
	// more each second; then it is answered 429 too_many_unknown, but for credentials this gateway knows. 0: no bound.
	UnknownBurst     int     `env:"UNKNOWN_BURST" envDefault:"100"`
	UnknownPerSecond float64 `env:"UNKNOWN_PER_SECOND" envDefault:"2"`
	// AuditSpool is how many bytes of disk audit records may take in DataDir until Postgres has them; a call takes about
	// 1 KiB. What happens beyond is each site's to say (audit.when_unavailable).
	AuditSpool int64 `env:"AUDIT_SPOOL" envDefault:"4294967296"`
	// AuditGrace is how long a gateway that was told to stop waits for its last records to be committed. What is not
	// then stays in the spool for the next start.
	AuditGrace time.Duration `env:"AUDIT_GRACE" envDefault:"8s"`
	// UpstreamCAFile holds certificate authorities (PEM) that https nodes are believed by, beside the system's.
	UpstreamCAFile string `env:"UPSTREAM_CA_FILE"`
	// ReplyTimeout bounds the wait for the head of a node's reply; bodies are not bounded.
	ReplyTimeout time.Duration `env:"REPLY_TIMEOUT" envDefault:"5m"`
	// BodyTimeout is how long a client may send nothing of a body it has announced, while the gateway waits for it.
	BodyTimeout time.Duration `env:"BODY_TIMEOUT" envDefault:"2m"`
	// ShutdownGrace is how long running calls may take once the gateway is told to stop.
	ShutdownGrace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"20s"`
	bus.Settings

	// Listener replaces Listen.
	Listener net.Listener `env:"-"`
	// Upstream are further settings of the way to the nodes.
	Upstream upstream.Settings `env:"-"`
	// Check is how often the configuration log is held against what the gateway has; default 1 s.
	Check time.Duration `env:"-"`
	// Spool are further settings of the audit spool, and Remind of its shipper.
	Spool  spool.Options `env:"-"`
	Remind time.Duration `env:"-"`
	// LookupEnv finds the variables that {env: NAME} names.
	LookupEnv func(string) (string, bool) `env:"-"`
}
