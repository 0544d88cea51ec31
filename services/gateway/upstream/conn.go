package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"time"
)

// Request is one call to a node.
type Request struct {
	// Method decides how the reply is framed.
	Method string
	// Repeatable says that the call changes nothing, so that it may reach a node twice.
	Repeatable bool
	// Head is the request line and all header fields but those that frame the body, each ended by CRLF.
	Head []byte
	// Body is what the client sends; nil for none.
	Body io.Reader
	// Length of Body in bytes; -1: not known, sent in chunks.
	Length int64
	// Trailer is sent behind a chunked Body; its values are read once Body has ended.
	Trailer http.Header
	// KeepsTrailer tells whether a trailer field goes up; nil: all do.
	KeepsTrailer func(name string) bool
	// Expect waits for 100 Continue before Body is read, so that a node can refuse an upload unseen.
	Expect bool
	// Informational is called for each 1xx reply but 101; nil: dropped.
	Informational func(status int, header http.Header)
}

func (r *Request) keepsTrailer(name string) bool {
	return r.KeepsTrailer == nil || r.KeepsTrailer(name)
}

// UnreachableError says that the node did not answer. Sent tells whether it may have seen the call.
type UnreachableError struct {
	Node string
	Sent bool
	Err  error
}

// TimeoutError says that the node sent no head of a reply in time.
type TimeoutError struct {
	Node string
	Wait time.Duration
}

// Error names the node.
func (e *UnreachableError) Error() string { return "node " + e.Node + ": " + e.Err.Error() }

// Unwrap gives the network's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Error names the node and how long was waited.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("node %s: no reply after %s", e.Node, e.Wait)
}

// conn is one connection to a node, used by one call at a time.
type conn struct {
	net.Conn
	node   *Node
	br     *bufio.Reader
	bw     *bufio.Writer
	shape  http.Request // tells ReadResponse the method
	used   bool         // has carried a call before
	idleAt time.Time

	unsent bool // the node waits for a body, or the rest of one, that it will not get

	mu     sync.Mutex
	headed bool // the head of the reply has come: the wait for it is over
}

// awaitReply begins the wait for a reply's head, once all of the call was sent: an upload takes as long as it takes.
func (c *conn) awaitReply() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := c.node.settings.ReplyTimeout; wait > 0 && !c.headed {
		return c.SetReadDeadline(time.Now().Add(wait))
	}
	return nil
}

// replyCame ends the wait: the body of a reply takes as long as it takes.
func (c *conn) replyCame() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headed = true
	return c.SetReadDeadline(time.Time{})
}

func newConn(n *Node, c net.Conn) *conn {
	return &conn{Conn: c, node: n, br: bufio.NewReaderSize(c, 8<<10), bw: bufio.NewWriterSize(c, 8<<10)}
}

// errUnanswered: the connection ended before the first byte of a reply.
var errUnanswered = errors.New("connection closed before a reply")

// inline is the largest body that is sent before the reply is looked for; a larger one goes up beside it.
const inline = 64 << 10

// exchange sends a call and reads the head of its reply.
func (c *conn) exchange(ctx context.Context, r *Request) (*Response, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	resp, err := c.converse(r)
	if err == nil {
		resp.body.stop = stop
		return resp, nil
	}
	stop()
	_ = c.Close()
	var cut *CutError
	if ctx.Err() != nil && !errors.As(err, &cut) {
		return nil, context.Cause(ctx)
	}
	return nil, err
}

func (c *conn) converse(r *Request) (*Response, error) {
	c.headed, c.unsent = false, r.Expect && r.Body != nil
	c.writeHead(r)
	var sending chan error // nil: nothing is being sent any more
	switch {
	case r.Body == nil:
	case !r.Expect && r.Length >= 0 && r.Length <= inline:
		var cut *CutError
		err := c.sendBody(r)
		if errors.As(err, &cut) {
			return nil, err
		}
		c.unsent = err != nil
	case !r.Expect:
		sending = c.sendBeside(r)
	}
	if sending == nil {
		if err := c.bw.Flush(); err != nil && r.Body == nil { // with a body, an early reply may explain it
			return nil, c.unanswered(err)
		}
		if err := c.awaitReply(); err != nil {
			return nil, err
		}
	}
	reply, sending, err := c.readHead(r, sending) //nolint:bodyclose // the Response closes it
	if err != nil {
		return nil, whyNoReply(sending, err)
	}
	if err := c.replyCame(); err != nil {
		return nil, err
	}
	return newResponse(c, reply, sending), nil
}

// whyNoReply prefers that the client's body was at fault: the connection was closed for it.
func whyNoReply(sending chan error, err error) error {
	var cut *CutError
	select {
	case sent := <-sending:
		if errors.As(sent, &cut) {
			return cut
		}
	default:
	}
	return err
}

func (c *conn) writeHead(r *Request) {
	_, _ = c.bw.Write(r.Head) // its error stays and is returned by Flush
	switch {
	case r.Body == nil && r.Length == 0 && (r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch):
		_, _ = c.bw.WriteString("Content-Length: 0\r\n")
	case r.Body == nil:
	case r.Length >= 0:
		var digits [20]byte
		_, _ = c.bw.WriteString("Content-Length: ")
		_, _ = c.bw.Write(strconv.AppendInt(digits[:0], r.Length, 10))
		_, _ = c.bw.WriteString("\r\n")
	default:
		_, _ = c.bw.WriteString("Transfer-Encoding: chunked\r\n")
		for name := range r.Trailer {
			if r.keepsTrailer(name) {
				_, _ = c.bw.WriteString("Trailer: " + name + "\r\n")
			}
		}
	}
	_, _ = c.bw.WriteString("\r\n")
}

// sendBeside sends the body in a goroutine of its own, because the node may answer before it has all of it.
func (c *conn) sendBeside(r *Request) chan error {
	done := make(chan error, 1)
	go func() {
		err := c.bw.Flush() // the head: the node may refuse before the client sends anything
		if err == nil {
			err = c.sendBody(r)
		}
		if err == nil {
			err = c.bw.Flush()
		}
		if armed := errors.Join(c.SetWriteDeadline(time.Time{}), c.awaitReply()); err == nil { // an early reply may explain an error
			err = armed
		}
		done <- err // before the reader is woken by the end of the connection
		var cut *CutError
		if errors.As(err, &cut) {
			_ = c.Close() // the node must not take half a body for a whole one
		}
	}()
	return done
}

// CutError says that the client did not send the body it had announced, or sent one that cannot be read.
type CutError struct{ Err error }

// Error says what was wrong with it.
func (e *CutError) Error() string { return "request body: " + e.Err.Error() }

// Unwrap gives the reader's error.
func (e *CutError) Unwrap() error { return e.Err }

// sendBody copies the body to the node. Its error is a *CutError or one of the connection to the node, which
// then may hold an early reply.
func (c *conn) sendBody(r *Request) error {
	if r.Length >= 0 {
		return c.copyBody(c.bw, r.Body, r.Length, false)
	}
	chunks := httputil.NewChunkedWriter(c.bw)
	if err := c.copyBody(chunks, r.Body, -1, true); err != nil {
		return err
	}
	if err := chunks.Close(); err != nil {
		return err
	}
	for name, values := range r.Trailer { // net/http has put what came unannounced there too
		if r.keepsTrailer(name) {
			if err := (http.Header{name: values}).Write(c.bw); err != nil {
				return err
			}
		}
	}
	_, err := c.bw.WriteString("\r\n")
	return err
}

// copyBody copies left bytes, or all there are when left is negative. flush sends each piece at once: whoever
// sends in chunks may wait for an answer in between. A large body is sent beside the wait for the reply.
func (c *conn) copyBody(to io.Writer, from io.Reader, left int64, flush bool) error {
	beside := left < 0 || left > inline
	buf := make([]byte, 32<<10)
	if 0 <= left && left < int64(len(buf)) {
		buf = buf[:max(left, 1)]
	}
	for left != 0 {
		if left > 0 && left < int64(len(buf)) {
			buf = buf[:left]
		}
		n, err := from.Read(buf)
		if n > 0 {
			left -= int64(n)
			if wait := c.node.settings.ReplyTimeout; wait > 0 && beside {
				_ = c.SetWriteDeadline(time.Now().Add(wait)) // for a node that takes nothing more; when it cannot be set, the write fails too
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			if flush {
				if err := c.bw.Flush(); err != nil {
					return err
				}
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return &CutError{Err: err}
		case left > 0:
			return &CutError{Err: io.ErrUnexpectedEOF}
		default:
			return nil
		}
	}
	return nil
}

// readHead reads the head of the final reply; informational ones before it are handed on. A body that waits
// for 100 Continue is begun here.
func (c *conn) readHead(r *Request, sending chan error) (*http.Response, chan error, error) {
	waiting := r.Expect && r.Body != nil
	if waiting {
		if err := c.SetReadDeadline(time.Now().Add(c.node.settings.ContinueTimeout)); err != nil {
			return nil, sending, err
		}
	}
	c.shape.Method = r.Method
	for range 10 {
		if _, err := c.br.Peek(1); err != nil {
			if waiting && isTimeout(err) { // a node that knows no 100 Continue
				if err := c.SetReadDeadline(time.Time{}); err != nil {
					return nil, sending, err
				}
				waiting, c.unsent, sending = false, false, c.sendBeside(r)
				continue
			}
			return nil, sending, c.unanswered(err)
		}
		reply, err := http.ReadResponse(c.br, &c.shape)
		if err != nil {
			return nil, sending, &UnreachableError{Node: c.node.ID, Sent: true, Err: fmt.Errorf("reply cannot be read: %w", err)}
		}
		if reply.StatusCode >= 200 || reply.StatusCode == http.StatusSwitchingProtocols {
			return reply, sending, nil
		}
		if reply.StatusCode == http.StatusContinue {
			if waiting {
				if err := c.SetReadDeadline(time.Time{}); err != nil {
					return nil, sending, err
				}
				waiting, c.unsent, sending = false, false, c.sendBeside(r)
			}
			continue
		}
		if r.Informational != nil {
			r.Informational(reply.StatusCode, reply.Header)
		}
	}
	return nil, sending, &UnreachableError{Node: c.node.ID, Sent: true, Err: errors.New("too many informational replies")}
}

// unanswered says why no reply came.
func (c *conn) unanswered(err error) error {
	if isTimeout(err) {
		return &TimeoutError{Node: c.node.ID, Wait: c.node.settings.ReplyTimeout}
	}
	return &UnreachableError{Node: c.node.ID, Sent: true, Err: fmt.Errorf("%w: %w", errUnanswered, err)}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
