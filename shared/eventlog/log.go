package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HeaderPrev is the message header that carries the hash of the commit before.
const HeaderPrev = "Gatehouse-Prev-Hash"

// Stream says where a log is stored. The stream must exist, with AllowDirect, and republish Subject to Live.
type Stream struct {
	Name    string // of the JetStream stream, e.g. CONFIG
	Subject string // commits are published on it
	Live    string // commits are republished on it once stored
}

// Log is one stream seen as a log. It is safe for concurrent use.
type Log struct {
	nc     *nats.Conn
	stream Stream
	opts   Options
}

// Options are intervals, each a setting so that tests can shorten it. Zero means the default.
type Options struct {
	// Check is how often Follow holds what it has against the stream; default 1 s. What is missing for twice
	// as long is called lost.
	Check time.Duration
	// Attempt is how long one request to NATS may take before it is tried again; default 2 s.
	Attempt time.Duration
	// Pause is how long to wait between two attempts; default 50 ms.
	Pause time.Duration
}

// New gives the log stored in stream.
func New(js jetstream.JetStream, stream Stream, opts Options) *Log {
	if opts.Check <= 0 {
		opts.Check = time.Second
	}
	if opts.Attempt <= 0 {
		opts.Attempt = 2 * time.Second
	}
	if opts.Pause <= 0 {
		opts.Pause = 50 * time.Millisecond
	}
	return &Log{nc: js.Conn(), stream: stream, opts: opts}
}

// doubt is how long something has been missing without a break. A leader that was just elected may know more
// than it has applied, and one that was just deposed may not know it yet: only what lasts is lost.
type doubt struct{ since time.Time }

func (d *doubt) lasts(patience time.Duration) bool {
	if d.since.IsZero() {
		d.since = time.Now()
	}
	return time.Since(d.since) >= patience
}

func (d *doubt) clear() { d.since = time.Time{} }

func (l *Log) patience() time.Duration { return 2 * l.opts.Check }

// unreadable is the error for a message that is no commit.
type unreadable struct {
	header string
	err    error
}

func (e *unreadable) Error() string { return "header " + e.header + ": " + e.err.Error() }
func (e *unreadable) Unwrap() error { return e.err }

// parse reads a message as a commit; the error is an *unreadable.
func parse(seq uint64, header nats.Header, data []byte, at time.Time) (Commit, error) {
	prev, err := ParseHash(header.Get(HeaderPrev))
	if err != nil {
		return Commit{}, &unreadable{header: HeaderPrev, err: err}
	}
	hash, err := ParseHash(header.Get(jetstream.MsgIDHeader))
	if err != nil {
		return Commit{}, &unreadable{header: jetstream.MsgIDHeader, err: err}
	}
	return Commit{State: State{Seq: seq, Hash: hash}, Prev: prev, Data: data, StoredAt: at}, nil
}

// parseSent reads a message that a stream sent out, republished or in answer to a direct get: its place is
// in the headers.
func parseSent(msg *nats.Msg) (Commit, error) {
	seq, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return Commit{}, &unreadable{header: jetstream.SequenceHeader, err: err}
	}
	at, err := time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return Commit{}, &unreadable{header: jetstream.TimeStampHeaer, err: err}
	}
	return parse(seq, msg.Header, msg.Data, at)
}

// errDenied says that NATS does not grant the right to a request.
var errDenied = errors.New("no rights in NATS")

// errAway says that there is no connection at the moment, in better words than those of nats.
var errAway = errors.New("not connected to NATS")

// answer is a reply of JetStream, which may be an error.
type answer struct {
	Error *jetstream.APIError `json:"error"`
}

func (a *answer) failure() *jetstream.APIError { return a.Error }

// attempt gives a context for one request. It ends with the connection, because nats itself lets a request wait
// for an answer that can no longer come.
func (l *Log) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Attempt)
	gone := l.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		for range gone {
			cancel()
		}
	}()
	return ctx, func() {
		l.nc.RemoveStatusListener(gone) // closes gone
		cancel()
	}
}

// ask makes a request of JetStream and reads the reply into into. The error may be a *jetstream.APIError.
func (l *Log) ask(ctx context.Context, msg *nats.Msg, into interface{ failure() *jetstream.APIError }) error {
	attempt, done := l.attempt(ctx)
	defer done()
	if !l.nc.IsConnected() && !l.nc.IsClosed() {
		return errAway
	}
	before := l.nc.LastError()
	reply, err := l.nc.RequestMsgWithContext(attempt, msg)
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() == nil:
		return nats.ErrDisconnected
	case errors.Is(err, context.DeadlineExceeded):
		if denied := l.denied(msg.Subject, before); denied != nil {
			return denied
		}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply.Data, into); err != nil {
		return err
	}
	if failure := into.failure(); failure != nil {
		return failure
	}
	return nil
}

// denied tells whether a request found no answer because it was refused. The server says so beside, in words,
// and without an answer to the request; before is what the connection's last error was when it was made.
func (l *Log) denied(subject string, before error) error {
	err := l.nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), strconv.Quote(subject)) { //nolint:errorlint // the same one, not its like
		return nil
	}
	return fmt.Errorf("%w: %w", errDenied, err)
}

// errNoMessage says that the leader holds no message of that sequence.
var errNoMessage = errors.New("no message found")

// readLeader reads one commit from the stream's leader. A direct get would be answered by any replica,
// which need not have seen a write that was already acknowledged. The error may be errNoMessage, for a
// message whose checksum is wrong too, or an *unreadable.
func (l *Log) readLeader(ctx context.Context, seq uint64) (Commit, error) {
	msg := nats.NewMsg("$JS.API.STREAM.MSG.GET." + l.stream.Name)
	msg.Data = fmt.Appendf(nil, `{"seq":%d}`, seq)
	var found struct {
		answer
		Message struct {
			Seq  uint64    `json:"seq"`
			Hdrs []byte    `json:"hdrs"`
			Data []byte    `json:"data"`
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	err := l.ask(ctx, msg, &found)
	if found.Error != nil && found.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return Commit{}, errNoMessage
	}
	if err != nil {
		return Commit{}, fmt.Errorf("read %s at %d: %w", l.stream.Name, seq, err)
	}
	var header nats.Header
	if len(found.Message.Hdrs) > 0 {
		header, err = nats.DecodeHeadersMsg(found.Message.Hdrs)
		if err != nil {
			return Commit{}, &unreadable{header: "block", err: err}
		}
	}
	return parse(found.Message.Seq, header, found.Message.Data, found.Message.Time)
}

// readReplica has any replica send up to n commits from a sequence on and gives each to take, until take
// returns an error. It may end early without one.
func (l *Log) readReplica(ctx context.Context, from uint64, n int, take func(Commit) error) error {
	const maxBytes = 4 << 20 // nothing else slows the replica down
	ctx, done := l.attempt(ctx)
	defer done()
	inbox, msgs := l.nc.NewInbox(), make(chan *nats.Msg, n+1) // and the end of the batch
	sub, err := l.nc.ChanSubscribe(inbox, msgs)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	body := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, n, maxBytes)
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+l.stream.Name, inbox, body); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case msg := <-msgs:
			if msg.Header.Get("Status") != "" {
				return nil // end of batch, nothing there, or nobody to ask: the leader will tell
			}
			c, err := parseSent(msg)
			if err != nil {
				return err
			}
			if err := take(c); err != nil {
				return err
			}
		}
	}
}

// view is what the stream's leader says of the stream.
type view struct {
	last   uint64
	source source
}

// source is where a view comes from. While it stays the same and answers, the stream cannot have been
// exchanged for another.
type source struct {
	created    int64  // of the stream, by its nanoseconds
	leader     string // server
	reconnects uint64 // of our connection
}

func (l *Log) look(ctx context.Context) (view, error) {
	var info struct {
		answer
		Created time.Time `json:"created"`
		State   struct {
			LastSeq uint64 `json:"last_seq"`
		} `json:"state"`
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	from := source{reconnects: l.nc.Stats().Reconnects}
	if err := l.ask(ctx, nats.NewMsg("$JS.API.STREAM.INFO."+l.stream.Name), &info); err != nil {
		return view{}, fmt.Errorf("look at stream %s: %w", l.stream.Name, err)
	}
	from.created, from.leader = info.Created.UnixNano(), info.Cluster.Leader
	if from.leader == "" {
		// While a group has no leader any member answers, also one that lags or that is cut off from the others.
		return view{}, fmt.Errorf("look at stream %s: no server leads it", l.stream.Name)
	}
	return view{last: info.State.LastSeq, source: from}, nil
}

// holds tells whether the leader has at as commit of its sequence: nil, a *BrokenError, or why it cannot be
// known. The kinds Gap and Rewound may pass: see doubt.
func (l *Log) holds(ctx context.Context, at State) error {
	if at.Seq == 0 {
		if at != (State{}) {
			return &BrokenError{Kind: Forked, At: at, Seq: 0, Detail: "no history begins like that"}
		}
		return nil
	}
	found, err := l.readLeader(ctx, at.Seq)
	var noCommit *unreadable
	switch {
	case errors.Is(err, errNoMessage):
		seen, err := l.look(ctx)
		if err != nil {
			return err
		}
		if seen.last < at.Seq {
			return rewound(at, seen.last)
		}
		return &BrokenError{Kind: Gap, At: at, Seq: at.Seq, Detail: "the last commit cannot be read"}
	case errors.As(err, &noCommit):
		return &BrokenError{Kind: Altered, At: at, Seq: at.Seq, Detail: err.Error()}
	case err != nil:
		return err
	case found.State != at:
		return &BrokenError{Kind: Forked, At: at, Seq: at.Seq, Detail: "the stream holds " + found.Hash.String()}
	default:
		return nil
	}
}

func rewound(at State, last uint64) *BrokenError {
	return &BrokenError{Kind: Rewound, At: at, Seq: last, Detail: fmt.Sprintf("the stream ends at %d", last)}
}

// pause waits, or says that ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
