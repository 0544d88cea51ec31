package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Certificate is a certificate and its key in two PEM files, read again when they change: connections that are there keep
// theirs, new ones get the new one.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[loaded]
}

// loaded is a pair of files that fit.
type loaded struct {
	cert, key []byte
	pair      tls.Certificate
}

// ReadCertificate reads a certificate chain and its key, PEM both. The error names the file.
func ReadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	next, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(next)
	return c, nil
}

func (c *Certificate) read() (*loaded, error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", c.certFile, err)
	}
	return &loaded{cert: cert, key: key, pair: pair}, nil
}

// Config is TLS 1.2 and later with the certificate as it is at each handshake.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.current.Load().pair, nil },
	}
}

// Expires is the end of the certificate's life.
func (c *Certificate) Expires() time.Time { return c.current.Load().pair.Leaf.NotAfter }

// Watch reads the files again each interval until ctx ends. Files that cannot be read, or do not fit, as they do not
// between the writing of the one and of the other, change nothing; that is logged once for each state of theirs.
func (c *Certificate) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		next, err := c.read()
		switch now := c.current.Load(); {
		case err != nil:
			if said != err.Error() {
				said = err.Error()
				log.LogAttrs(ctx, slog.LevelError, "the certificate is not read again; the last one stays", slog.Any("error", err))
			}
		case !bytes.Equal(next.cert, now.cert) || !bytes.Equal(next.key, now.key):
			said = ""
			c.current.Store(next)
			log.LogAttrs(ctx, slog.LevelInfo, "a new certificate is used", slog.Time("expires", next.pair.Leaf.NotAfter))
		default:
			said = ""
		}
	}
}
