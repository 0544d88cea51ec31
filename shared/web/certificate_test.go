package web_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/web"
)

// pair makes a certificate that ends at a time, and its key, both in PEM.
func pair(t *testing.T, end time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFilesThatDoNotFitChangeNothing, and are complained of once for each state of theirs.
func TestFilesThatDoNotFitChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		certFile, keyFile := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "k")
		first, second := time.Now().Add(time.Hour).UTC().Truncate(time.Second), time.Now().Add(2*time.Hour).UTC().Truncate(time.Second)
		cert, key := pair(t, first)
		write(t, certFile, cert)
		write(t, keyFile, key)
		c, err := web.ReadCertificate(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		said := new(bytes.Buffer)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Watch(ctx, 10*time.Second, slog.New(slog.NewTextHandler(said, nil)))
		after := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		next, nextKey := pair(t, second)
		write(t, certFile, next) // the key is still the old one
		after(35 * time.Second)
		if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !c.Expires().Equal(first) {
			t.Errorf("said %d times, expires %s: %s", n, c.Expires(), said)
		}
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		after(35 * time.Second)
		if n := strings.Count(said.String(), "level=ERROR"); n != 2 || !c.Expires().Equal(first) {
			t.Errorf("said %d times, expires %s: %s", n, c.Expires(), said)
		}
		write(t, keyFile, nextKey)
		after(10 * time.Second)
		if !c.Expires().Equal(second) || strings.Count(said.String(), "level=INFO") != 1 {
			t.Errorf("expires %s: %s", c.Expires(), said)
		}
		cancel()
		synctest.Wait()
	})
}
