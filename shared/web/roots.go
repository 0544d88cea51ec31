package web

import (
	"crypto/x509"
	"fmt"
	"os"
)

// ReadRoots gives the system's certificate authorities and those of a PEM file; nil, which means the system's to
// tls.Config, when no file is named. The error names the file.
func ReadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // what tls.Config wants for "the system's"
	}
	pem, err := os.ReadFile(file) //nolint:gosec // a path of the operator's
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: %s holds none", file)
	}
	return roots, nil
}
