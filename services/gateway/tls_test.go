package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// certified is a certificate for loopback in two files.
type certified struct{ cert, key string }

// certify writes a new self-signed certificate and gives a client's configuration that trusts it alone.
func (c certified) certify(t *testing.T, serial int64) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.write(t, c.cert, cert)
	c.write(t, c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func (c certified) write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) secured() (*running, certified, *tls.Config) {
	w.t.Helper()
	files := certified{filepath.Join(w.t.TempDir(), "tls.crt"), filepath.Join(w.t.TempDir(), "tls.key")}
	t, _ := w.t.(*testing.T)
	trust := files.certify(t, 1)
	gw := w.gateway("", func(s *gateway.Settings) {
		s.TLSCert, s.TLSKey, s.CertificateCheck = files.cert, files.key, 20*time.Millisecond
	})
	gw.url = "https" + strings.TrimPrefix(gw.url, "http")
	client := clientOf(t, trust, true)
	testkit.Until(t, "the gateway to speak TLS", func() bool {
		resp, err := client.Get(gw.url + "/rest/gatehouse/1.0/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.Header.Get("X-Gatehouse-Config-Version") != ""
	})
	return gw, files, trust
}

func clientOf(t *testing.T, trust *tls.Config, h2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: h2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestClientsSpeakTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	gw, _, trust := w.secured()
	for _, h2 := range []bool{true, false} {
		client := clientOf(t, trust, h2)
		body := bytes.Repeat([]byte("x"), 1<<20)
		r := request(t, http.MethodPost, gw.url+echo, bytes.NewReader(body), "Authorization", "Bearer "+w.token(), "Content-Type", "application/octet-stream", "X-Atlassian-Token", "no-check")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || (resp.ProtoMajor == 2) != h2 {
			t.Fatalf("%s %s: %v, %s", resp.Proto, resp.Status, err, text)
		}
		if e := decode(t, string(text)); e.User != "svc-api" || e.Header["X-Forwarded-Proto"][0] != "https" {
			t.Errorf("the node saw %s", text)
		}
	}
	// Plain HTTP at a TLS port is told so, and is no call.
	if reply := raw(t, "http"+strings.TrimPrefix(gw.url, "https"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(reply, "HTTP/1.0 400 ") {
		t.Errorf("plain HTTP: %q", reply)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		old := trust.Clone()
		old.MinVersion, old.MaxVersion = version, version
		if c, err := tls.Dial("tcp", strings.TrimPrefix(gw.url, "https://"), old); err == nil {
			_ = c.Close()
			t.Errorf("TLS %x is spoken", version)
		}
	}
}

// TestACertificateIsReadAgain while an upload runs, which goes on.
func TestACertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	gw, files, first := w.secured()
	serial := func(trust *tls.Config) int64 {
		c, err := tls.Dial("tcp", strings.TrimPrefix(gw.url, "https://"), trust)
		if err != nil {
			return 0
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	upload, body := io.Pipe()
	done := make(chan string, 1)
	r := request(t, http.MethodPost, gw.url+echo, upload, "Authorization", "Bearer "+w.token(), "Content-Type", "application/octet-stream", "X-Atlassian-Token", "no-check")
	client := clientOf(t, first, true)
	go func() {
		resp, err := client.Do(r)
		if err != nil {
			done <- err.Error()
			return
		}
		_ = resp.Body.Close()
		done <- resp.Status
	}()
	_, _ = body.Write([]byte("begun"))
	second := files.certify(t, 2)
	testkit.Until(t, "the new certificate", func() bool { return serial(second) == 2 })
	if n := serial(first); n != 0 {
		t.Errorf("the old one is still shown: %d", n)
	}
	_, _ = body.Write([]byte(" and ended"))
	_ = body.Close()
	if got := <-done; got != "200 OK" {
		t.Errorf("the upload: %s", got)
	}
	ready := httptest.NewRecorder()
	gw.process.Handler().ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if !strings.Contains(ready.Body.String(), `"certificate_expires":"`) {
		t.Errorf("readiness says %s", ready.Body)
	}
}

func TestACertificateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := certified{filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")}
	files.certify(t, 1)
	for name, c := range map[string]struct{ cert, key, want string }{
		"no key":     {files.cert, "", "GATEHOUSE_GATEWAY_TLS_KEY"},
		"no file":    {files.cert + "x", files.key, "tls.crtx"},
		"not a pair": {files.key, files.key, "tls.key"},
	} {
		s := gateway.Settings{Settings: w.nats.Settings(topology.Gateway), DataDir: t.TempDir(), KeysDir: w.keys, TLSCert: c.cert, TLSKey: c.key, IdentityCache: 100, AuditSpool: 64 << 20}
		host := service.NewProcess(testkit.Logger(t), nil).Host("gateway", "")
		if err := gateway.Run(t.Context(), host, s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// h2 is a connection that writes frames as no client does.
type h2 struct {
	*http2.Framer
	conn net.Conn
	head bytes.Buffer
	enc  *hpack.Encoder
	next uint32
}

func dialH2(t *testing.T, gw *running, trust *tls.Config) *h2 {
	t.Helper()
	trust = trust.Clone()
	trust.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(gw.url, "https://"), trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &h2{Framer: http2.NewFramer(conn, conn), conn: conn, next: 1}
	c.enc = hpack.NewEncoder(&c.head)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// ask sends a call without a body and gives its stream; the error is the connection's.
func (c *h2) ask(fields ...string) (uint32, error) {
	c.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	id := c.next
	c.next += 2
	return id, c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.head.Bytes(), EndHeaders: true, EndStream: true})
}

// answer gives the status of a stream, or how it ended.
func (c *h2) answer(id uint32) string {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset"
			}
		case *http2.GoAwayFrame:
			return "go away"
		}
	}
}

func TestHostileHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	gw, _, trust := w.secured()
	call := func(path string, more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":authority", "jira.example.com", ":path", path}, more...)
	}
	for name, c := range map[string]struct {
		fields []string
		want   string
	}{
		"plain":                     {call(echo), "200"},
		"a space in the query":      {call(echo + "?a b"), "400"},
		"a version in the query":    {call(echo + "?a HTTP/1.1"), "400"},
		"a space in the path":       {call("/rest/a b"), "400"},
		"an ambiguous path":         {call("/rest%2fapi"), "400"},
		"a line in the path":        {call("/x\r\nX-A: b"), "400 reset"},
		"a line in a field":         {call(echo, "x-a", "b\r\nX-AUSERNAME: admin"), "reset"},
		"transfer-encoding":         {call(echo, "transfer-encoding", "chunked"), "reset 400"},
		"connection":                {call(echo, "connection", "upgrade"), "reset 400"},
		"a capital in a name":       {call(echo, "X-A", "b"), "reset"},
		"no path":                   {[]string{":method", "GET", ":scheme", "https", ":authority", "x"}, "reset"},
		"a pseudo field behind":     {append(call(echo, "x-a", "b"), ":path", "/rest/x"), "reset"},
		"two paths":                 {append(call(echo), ":path", "/rest/x"), "reset"},
		"a tunnel":                  {[]string{":method", "CONNECT", ":authority", "127.0.0.1:22"}, "405"},
		"a tunnel for a websocket":  {[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "x", ":path", "/"}, "reset 400 405"},
		"an absolute form":          {call("https://other.example.com/rest/x"), "400 404"},
		"a length without a body":   {call(echo, "content-length", "5"), "200"}, // framed anew: the node is told of none
		"an authority with a break": {[]string{":method", "GET", ":scheme", "https", ":authority", "x\ty", ":path", echo}, "400 reset"},
	} {
		conn := dialH2(t, gw, trust)
		id, err := conn.ask(c.fields...)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.answer(id); !strings.Contains(c.want, got) {
			t.Errorf("%s: %q, want one of %q", name, got, c.want)
		}
		_ = conn.conn.Close()
	}
}

// TestHTTP2EndsNoLineOfTheRequest: what HTTP/2 carries and HTTP/1.1 would not reaches no node.
func TestHTTP2EndsNoLineOfTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := startRawNode(t, func(string, int) (string, bool) { return empty200, false })
	w.commit(w.siteOn(node.url)...)
	gw, _, trust := w.secured()
	for _, c := range []struct{ method, authority, want string }{
		{"GET", "x", "200"},
		{"REPORT", "x:8443", "200"},
		{"GET", "[::1]", "200"},
		{"GET /rest/closed HTTP/1.1 x", "x", "405"},
		{"GET\t", "x", "405"},
		{"G(T", "x", "405"},
		{"GET", "x y", "400"},
		{"GET", "a/b", "400"},
		{"GET", `a\b`, "400"},
		{"GET", "a@b", "reset"},
		{"GET", "ä", "400"},
	} {
		before, _ := node.seen()
		conn := dialH2(t, gw, trust)
		id, err := conn.ask(":method", c.method, ":scheme", "https", ":authority", c.authority, ":path", "/rest/x")
		if err != nil {
			t.Fatal(err)
		}
		got := conn.answer(id)
		after, _ := node.seen()
		if seen := len(after) - len(before); got != c.want || (seen > 0) != (c.want == "200") {
			t.Errorf("%q at %q: %q, want %s; the node saw %d", c.method, c.authority, got, c.want, seen)
		}
		_ = conn.conn.Close()
	}
}

// TestARapidReset (CVE-2023-44487) is bounded, and others are answered meanwhile.
func TestARapidReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.commit(w.site()...)
	gw, _, trust := w.secured()
	token := "Bearer " + w.token()
	conn := dialH2(t, gw, trust)
	for range 5_000 {
		id, err := conn.ask(":method", "GET", ":scheme", "https", ":authority", "x", ":path", echo, "authorization", token)
		if err == nil {
			err = conn.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			break // it was sent away
		}
	}
	client := clientOf(t, trust, true)
	for range 10 {
		resp, err := client.Do(request(t, http.MethodGet, gw.url+echo, nil, "Authorization", token))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
}
