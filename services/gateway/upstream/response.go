package upstream

import (
	"errors"
	"io"
	"net/http"
)

// Response is the reply of a node. Body must be closed.
type Response struct {
	*http.Response
	// Body replaces the embedded one: reading it to its end gives the connection back.
	Body io.ReadCloser
	body *body
}

// body reads a reply and decides what becomes of its connection.
type body struct {
	conn    *conn
	reply   *http.Response
	stop    func() bool // ends the watch over the client
	sending chan error  // the request's body, while it is still being sent
	done    bool
	err     error
}

func newResponse(c *conn, reply *http.Response, sending chan error) *Response {
	b := &body{conn: c, reply: reply, sending: sending}
	return &Response{Response: reply, Body: b, body: b}
}

// Read reads the reply's body.
func (b *body) Read(p []byte) (int, error) {
	if b.done {
		return 0, b.err
	}
	n, err := b.reply.Body.Read(p)
	if err != nil {
		b.err = err
		b.finish(errors.Is(err, io.EOF))
	}
	return n, err
}

// Close gives up what was not read.
func (b *body) Close() error {
	if !b.done {
		b.err = http.ErrBodyReadAfterClose
		b.finish(b.reply.Body == http.NoBody)
	}
	return nil
}

// finish keeps the connection for the next call when this one ended in order, and closes it otherwise.
func (b *body) finish(whole bool) {
	b.done = true
	whole = whole && !b.conn.unsent // the next call would be read as the body of this one
	watched := b.stop()
	select {
	case err := <-b.sending:
		whole = whole && err == nil
	default:
		whole = whole && b.sending == nil
	}
	if whole && watched && !b.reply.Close && b.conn.br.Buffered() == 0 && b.reply.StatusCode != http.StatusSwitchingProtocols {
		b.conn.node.keep(b.conn)
		return
	}
	_ = b.conn.Close()
}

// Sending tells that the node answered while the request's body was still on its way.
func (r *Response) Sending() bool { return r.body.sending != nil }

// Waits tells that the body has not begun to come with the head, and that there will be one.
func (r *Response) Waits() bool {
	return r.Response.Body != http.NoBody && r.ContentLength != 0 && r.body.conn.br.Buffered() == 0
}

// Hijack gives the connection of a 101 reply, with what was already read from it, to whoever copies bytes from
// now on; the watch over the client ends.
func (r *Response) Hijack() io.ReadWriteCloser {
	r.body.done = true
	r.body.stop()
	return &tunnel{c: r.body.conn}
}

// tunnel is a connection whose first bytes may still be in the reader.
type tunnel struct{ c *conn }

func (t *tunnel) Read(p []byte) (int, error)  { return t.c.br.Read(p) }
func (t *tunnel) Write(p []byte) (int, error) { return t.c.Write(p) }
func (t *tunnel) Close() error                { return t.c.Close() }
