package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/names"

	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// buffers are the working memory of forwards, shared by all calls of a gateway.
type buffers struct {
	heads  sync.Pool // of *[]byte
	copies sync.Pool // of *[32<<10]byte
}

func newBuffers() *buffers {
	return &buffers{
		heads:  sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }},
		copies: sync.Pool{New: func() any { return new([32 << 10]byte) }},
	}
}

// forward takes a call to a node and the reply to the client. What it returns is the answer the call was
// given in the end.
func forward(c *call) answer {
	request := upstream.Request{Method: c.r.Method, Repeatable: c.reads(), Body: c.body(), Length: c.r.ContentLength, Trailer: c.r.Trailer}
	if err := c.sign(&request); err != nil {
		return c.failed(err)
	}
	head, _ := c.gw.buffers.heads.Get().(*[]byte)
	defer c.gw.buffers.heads.Put(head)
	*head = appendHead((*head)[:0], c)
	if request.Length < 0 { // only a body in chunks has trailers
		request.KeepsTrailer = c.keepsTrailer
	}
	upgrade := c.upgrades()
	if upgrade {
		*head = append(*head, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	if strings.EqualFold(c.r.Header.Get("Expect"), "100-continue") && request.Body != nil && c.signed.target == "" {
		request.Expect = true
	}
	request.Head = *head
	if !c.byToken() && c.answer.reason != link && c.r.ProtoAtLeast(1, 1) {
		request.Informational = c.hint
	}
	started := time.Now()
	resp, err := send(c, &request)
	if err != nil {
		c.upstream = time.Since(started)
		return c.failed(err)
	}
	defer func() {
		_ = resp.Body.Close()
		c.upstream = time.Since(started)
	}()
	if a := c.checkUser(resp); a.kind != goOn {
		return a
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return c.tunnel(resp, upgrade)
	}
	return c.reply(resp)
}

// hint passes on early hints (RFC 8297), of which browsers use the links. A call with a credential gets none: they
// would go out before it is known whom the node took it to be from.
func (c *call) hint(status int, header http.Header) {
	if links := header["Link"]; status == http.StatusEarlyHints && len(links) > 0 {
		to := c.w.Header()
		to["Link"] = links
		c.w.WriteHeader(status)
		delete(to, "Link")
	}
}

// upgrades tells whether a call wants to become a websocket (RFC 6455 §4.1), the only protocol the products switch to.
// Another one, such as h2c, would be a tunnel past all rules.
func (c *call) upgrades() bool {
	return c.r.Method == http.MethodGet && c.r.ProtoMajor == 1 && c.r.ProtoMinor >= 1 && c.r.ContentLength == 0 &&
		strings.EqualFold(c.r.Header.Get("Upgrade"), "websocket") && named(c.r.Header["Connection"], "Upgrade")
}

// byToken tells whether a call is made with a credential that was judged, the client's own or ours.
func (c *call) byToken() bool { return c.answer.kind == asAccount || c.answer.kind == asThemself }

// send tries the nodes of the site until one takes the call: another is asked only when the last was not reached at all, or
// died over a call that changes nothing.
func send(c *call, request *upstream.Request) (*upstream.Response, error) {
	var tried []*upstream.Node
	var last error
	where := near(c)
	for {
		node := c.site.pool.Next(where, tried)
		if node == nil {
			if last == nil {
				last = &upstream.UnreachableError{Node: "none", Err: errors.New("the site has no node")}
			}
			return nil, last
		}
		c.node = node.ID
		resp, err := node.Do(c.ctx, request)
		if err == nil {
			return resp, nil
		}
		node.Failed(err)
		if !request.Elsewhere(err) {
			return nil, err
		}
		tried, last = append(tried, node), err
	}
}

// clientGone is the status the audit trail has for a call whose client did not wait for a reply; nobody gets it.
const clientGone = 499

// failed is the answer to a call that got no reply from a node.
func (c *call) failed(err error) answer {
	var late *upstream.TimeoutError
	var cut *upstream.CutError
	switch {
	case errors.As(err, &late):
		return refuse(timedOut, err.Error())
	case errors.Is(err, errFormCredential):
		return refuse(malformed, err.Error())
	case errors.As(err, &cut):
		if c.ctx.Err() != nil {
			c.outcome = interrupted
		}
		return refuse(bodyMalformed, err.Error())
	case c.ctx.Err() != nil:
		c.outcome, c.status = interrupted, clientGone
		panic(http.ErrAbortHandler) // nobody is there to be answered
	default:
		return refuse(unreachable, err.Error())
	}
}

// checkUser holds X-AUSERNAME against the user meant: the products serve a bad Bearer as anonymous, without a
// word. No name on a success counts as another name.
func (c *call) checkUser(resp *upstream.Response) answer {
	names := resp.Header["X-Ausername"]
	if c.answer.reason == link {
		return c.checkLink(names, resp.StatusCode)
	}
	if !c.byToken() || !c.site.product.namesUser {
		return answer{}
	}
	switch {
	case len(names) == 1 && sameUser(names[0], c.user):
		if c.account != nil {
			c.account.taken()
		}
		return answer{}
	case len(names) == 0 && resp.StatusCode == http.StatusUnauthorized && c.account != nil:
		// It is our credential that was not taken; the client would think it was his.
	case len(names) == 0 && resp.StatusCode >= 300:
		return answer{}
	}
	if c.account != nil && loginFailed(resp.Header) {
		c.account.refused(c.at)
	}
	if c.answer.kind == asThemself {
		if len(names) == 1 && strings.EqualFold(names[0], "anonymous") { // it was good when the product was asked, and is no more
			c.gw.identities.refuse(c.key, c.fingerprint)
			return refuse(refused, "the node took it for nobody's")
		}
		c.gw.identities.forget(c.key) // the product thinks otherwise by now: ask again
	}
	detail := "meant " + c.user + ", the node answered as " + strings.Join(names, ", ")
	if c.signed.target != "" {
		detail += oauthProblem(resp.Header)
	}
	return refuse(mismatch, detail)
}

// checkLink is row 7 for a call that the product was to verify: what it took for nobody's, it should not have been asked.
func (c *call) checkLink(names []string, status int) answer {
	if status >= 400 || !c.site.product.namesUser || c.site.config.Mode == "observe" || !c.site.restricted.Match(c.r.Method, c.path) {
		return answer{}
	}
	if len(names) != 1 || strings.EqualFold(names[0], "anonymous") {
		return refuse(authRequired, "the product took the signature for nobody's")
	}
	return answer{}
}

// oauthProblem is why a product does not take a signature (http://wiki.oauth.net/ProblemReporting), such as timestamp_refused
// or signature_invalid, by its own word.
func oauthProblem(h http.Header) string {
	for _, challenge := range h["Www-Authenticate"] {
		if _, after, ok := strings.Cut(challenge, `oauth_problem="`); ok {
			problem, _, _ := strings.Cut(after, `"`)
			return ", which says " + strconv.QuoteToASCII(problem[:min(len(problem), 64)])
		}
	}
	return ""
}

// loginFailed tells whether the product says that it was shown a wrong password. That a reply names nobody, or another
// user, does not say so: some paths name nobody whoever calls.
func loginFailed(h http.Header) bool {
	for _, reason := range h["X-Seraph-Loginreason"] {
		if strings.Contains(reason, "AUTHENTICATED_FAILED") || strings.Contains(reason, "AUTHENTICATION_DENIED") {
			return true
		}
	}
	return false
}

func sameUser(name, user string) bool {
	if names.Same(name, user) {
		return true
	}
	decoded, err := url.PathUnescape(name)
	return err == nil && names.Same(decoded, user)
}

// reply passes a node's reply on.
func (c *call) reply(resp *upstream.Response) answer {
	header := c.w.Header()
	copyReply(header, resp.Header, c.byToken())
	c.stay(header)
	for name := range resp.Trailer {
		header.Add("Trailer", name)
	}
	announced := len(resp.Trailer)
	if _, typed := header["Content-Type"]; !typed {
		header["Content-Type"] = nil // else net/http would guess one: a download might become a page
	}
	c.status = resp.StatusCode
	if resp.Sending() { // else net/http would read the rest of the body away under the node
		_ = http.NewResponseController(c.w).EnableFullDuplex()
	}
	c.w.WriteHeader(resp.StatusCode)
	if err := c.copyBody(resp); err != nil {
		c.outcome = interrupted
		panic(http.ErrAbortHandler) // net/http's way to cut a reply short, so that nobody takes it for whole
	}
	if len(resp.Trailer) > 0 {
		trailer := make(http.Header, len(resp.Trailer))
		copyReply(trailer, resp.Trailer, c.byToken())
		for name, values := range trailer {
			if announced == 0 {
				name = http.TrailerPrefix + name
			}
			header[name] = values
		}
	}
	return c.answer
}

// copyBody copies a reply's body piece by piece as it comes, so that nothing a node has said waits for what it has not.
func (c *call) copyBody(resp *upstream.Response) error {
	buf, _ := c.gw.buffers.copies.Get().(*[32 << 10]byte)
	defer c.gw.buffers.copies.Put(buf)
	rc := http.NewResponseController(c.w)
	if resp.ContentLength < 0 || resp.Waits() {
		if err := rc.Flush(); err != nil {
			return err
		}
	}
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			written, werr := c.w.Write(buf[:n])
			c.bytesOut += int64(written)
			if werr != nil {
				return werr
			}
			if c.bytesOut != resp.ContentLength { // the last piece is flushed by the end of the call
				if err := rc.Flush(); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tunnel joins client and node after a 101 reply, until one of them ends.
func (c *call) tunnel(resp *upstream.Response, upgrade bool) answer {
	if !upgrade || !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		return refuse(unreachable, "the node switched to a protocol nobody asked for")
	}
	node := resp.Hijack()
	defer func() { _ = node.Close() }()
	client, buffered, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return refuse(unreachable, "this connection cannot be upgraded")
	}
	defer func() { _ = client.Close() }()
	header := c.w.Header()
	copyReply(header, resp.Header, c.byToken())
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "websocket")
	c.status = http.StatusSwitchingProtocols
	if _, err = io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\n"); err == nil {
		err = header.Write(buffered)
	}
	if err == nil {
		_, err = io.WriteString(buffered, "\r\n")
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		c.outcome = interrupted
		return c.answer
	}
	stop := context.AfterFunc(c.gw.tunnels, func() { _ = client.Close() })
	defer stop()
	up := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(node, buffered)
		_ = node.Close()
		up <- n
	}()
	c.bytesOut, _ = io.Copy(client, node)
	_ = client.Close()
	c.received = new(counted)        // of a tunnel: only its number counts
	c.received.n.Store(uint64(<-up)) //nolint:gosec // never negative
	return c.answer
}

// body is the request's body, counted; nil when there is none.
func (c *call) body() io.Reader {
	if c.r.Body == nil || c.r.Body == http.NoBody || c.r.ContentLength == 0 {
		return nil
	}
	c.received = &counted{body: c.r.Body, to: http.NewResponseController(c.w), wait: c.gw.bodyTimeout}
	if c.form {
		return &formReader{body: c.received}
	}
	return c.received
}

// counted counts what a client sent, and ends with an error when it sends nothing for a while. The upstream may still read
// it when the call has been answered; net/http ends that when the handler returns.
type counted struct {
	body io.Reader
	to   *http.ResponseController
	wait time.Duration
	n    atomic.Uint64
}

func (b *counted) Read(p []byte) (int, error) {
	if b.wait > 0 {
		_ = b.to.SetReadDeadline(time.Now().Add(b.wait)) // what cannot have one is no connection of a client
	}
	n, err := b.body.Read(p)
	b.n.Add(uint64(n)) //nolint:gosec // never negative
	if err != nil && b.wait > 0 {
		_ = b.to.SetReadDeadline(time.Time{}) // net/http goes on to read, to see the client leave
	}
	return n, err
}
