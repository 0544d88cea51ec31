package eventlog_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// tap is a NATS server reached through connections that a test can do harm to.
type tap struct {
	inner nats.InProcessConnProvider
	// in decides on each message from the server, by its subject and its bytes with headers, which it may
	// change; nil: all pass.
	in func(subject string, payload []byte) fate
	// out decides on what the client sends in one write; nil: all pass.
	out func(data []byte) fate
}

type fate int

const (
	pass fate = iota
	drop
	twice
	cut // the connection, instead of passing it
)

func (w *tap) InProcessConn() (net.Conn, error) {
	c, err := w.inner.InProcessConn()
	if err != nil {
		return nil, err
	}
	r, pw := io.Pipe()
	t := &tappedConn{Conn: c, tap: w, r: r}
	t.pump.Add(1)
	go func() {
		defer t.pump.Done()
		_ = pw.CloseWithError(t.read(bufio.NewReader(c), pw))
	}()
	return t, nil
}

type tappedConn struct {
	net.Conn
	tap  *tap
	r    *io.PipeReader
	pump sync.WaitGroup
}

func (c *tappedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *tappedConn) Write(p []byte) (int, error) {
	if c.tap.out != nil && c.tap.out(p) == cut {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *tappedConn) Close() error {
	_ = c.r.Close()
	return c.Conn.Close()
}

// read passes the NATS protocol on, message by message.
func (c *tappedConn) read(from *bufio.Reader, to io.Writer) error {
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return err
		}
		fields := strings.Fields(line)
		block, fate := []byte(line), pass
		if len(fields) > 1 && (fields[0] == "MSG" || fields[0] == "HMSG") {
			n, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				return err
			}
			payload := make([]byte, n+2)
			if _, err := io.ReadFull(from, payload); err != nil {
				return err
			}
			if c.tap.in != nil {
				fate = c.tap.in(fields[1], payload[:n])
			}
			block = append(block, payload...)
		}
		switch fate {
		case cut:
			_ = c.Close()
			return net.ErrClosed
		case drop:
			continue
		case twice:
			block = bytes.Repeat(block, 2)
		default:
		}
		if _, err := to.Write(block); err != nil {
			return err
		}
	}
}

// isAck tells a publish acknowledgement from the other replies.
func isAck(payload []byte) bool { return bytes.HasPrefix(payload, []byte(`{"stream":"CONFIG"`)) }
