package remote

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

// NewClient gives a client of our own: no cookies, no redirects, no proxy of the environment, no compression
// (a reply that is compressed all the same is malformed, so there is no bomb to inflate). keepAlive is false
// for what must not be sent twice: net/http repeats a request on its own when a kept connection turns out dead.
func NewClient(s Limits, roots *x509.CertPool, keepAlive bool) *http.Client {
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

// SetCommon sets what every call of ours has in its header.
func SetCommon(h http.Header) {
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "gatehouse-introspection/"+service.Version)
}

// NotAnswered says what kept a reply from coming or from being read.
func NotAnswered(ctx context.Context, err error) *Problem {
	var waited interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		return &Problem{Result: Stopped, Text: "this service is ending"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &waited) && waited.Timeout():
		return &Problem{Result: Timeout, Text: "no answer in time"}
	default:
		return &Problem{Result: Unreachable, Text: networkText(err)}
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

// ReadReply reads the body of a 200 that claims to be JSON.
func ReadReply(ctx context.Context, r *http.Response) ([]byte, *Problem) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, &Problem{Result: Malformed, Text: "the reply is compressed, which was not asked for"}
	}
	if !IsJSON(r.Header.Get("Content-Type")) {
		return nil, &Problem{Result: Malformed, Text: "the reply is no JSON by its Content-Type"}
	}
	return readBody(ctx, r)
}

func readBody(ctx context.Context, r *http.Response) ([]byte, *Problem) {
	if r.ContentLength > maxReply {
		return nil, TooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, NotAnswered(ctx, err)
	case len(body) > maxReply:
		return nil, TooLarge()
	}
	return body, nil
}

// TooLarge is a reply of more than anybody needs to say.
func TooLarge() *Problem {
	return &Problem{Result: Oversized, Text: "the reply is larger than " + strconv.Itoa(maxReply>>10) + " KiB"}
}

// IsJSON takes application/json and any +json type.
func IsJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// Finish lets the connection be used again when little is left to read, and closes it otherwise.
func Finish(r *http.Response) {
	_, _ = io.CopyN(io.Discard, r.Body, 4<<10)
	_ = r.Body.Close()
}
