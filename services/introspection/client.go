package introspection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/service"
)

// maxReply is how many bytes of a reply are read; a real one has a few hundred.
const maxReply = 1 << 20

// newClient gives a client of our own: no cookies, no redirects, no proxy of the environment, no compression
// (a reply that is compressed all the same is malformed, so there is no bomb to inflate). keepAlive is false
// for what must not be sent twice: net/http repeats a request on its own when a kept connection turns out dead.
func newClient(s Settings, roots *x509.CertPool, keepAlive bool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: s.ConnectTimeout, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    s.ConnectTimeout,
			ResponseHeaderTimeout:  s.CallTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    s.Concurrency,
			IdleConnTimeout:        90 * time.Second,
			DisableCompression:     true,
			DisableKeepAlives:      !keepAlive,
			ForceAttemptHTTP2:      keepAlive,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func setCommon(h http.Header) {
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "gatehouse-introspection/"+service.Version)
}

// notAnswered says what kept a reply from coming or from being read.
func notAnswered(ctx context.Context, err error) *problem {
	var waited interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		return &problem{result: resultStopped, text: "this service is ending"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &waited) && waited.Timeout():
		return &problem{result: resultTimeout, text: "no answer in time"}
	default:
		return &problem{result: resultUnreachable, text: networkText(err)}
	}
}

// networkText tells a network error in words that hold nothing of what was sent or received. The standard
// library's own texts quote the first line of a broken reply, and that may repeat the token.
func networkText(err error) string {
	var (
		op   *net.OpError
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		tlsR tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return "host not found: " + dns.Name
	case errors.As(err, &cert):
		return "certificate refused: " + cert.Err.Error()
	case errors.As(err, &tlsR):
		return "no TLS spoken there"
	case errors.As(err, &op):
		return "network: " + op.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed before the answer was complete"
	default:
		return "connection broken, or no HTTP spoken there"
	}
}

// readReply reads the body of a 200 that claims to be JSON.
func readReply(ctx context.Context, r *http.Response) ([]byte, *problem) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, &problem{result: resultMalformed, text: "the reply is compressed, which was not asked for"}
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, &problem{result: resultMalformed, text: "the reply is no JSON by its Content-Type"}
	}
	return readBody(ctx, r)
}

func readBody(ctx context.Context, r *http.Response) ([]byte, *problem) {
	if r.ContentLength > maxReply {
		return nil, oversized()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, notAnswered(ctx, err)
	case len(body) > maxReply:
		return nil, oversized()
	}
	return body, nil
}

func oversized() *problem {
	return &problem{result: resultOversized, text: "the reply is larger than " + strconv.Itoa(maxReply>>10) + " KiB"}
}

// isJSON takes application/json and any +json type.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// finish lets the connection be used again when little is left to read, and closes it otherwise.
func finish(r *http.Response) {
	_, _ = io.CopyN(io.Discard, r.Body, 4<<10)
	_ = r.Body.Close()
}
