package lab

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// State is what a node says of itself under /status.
type State string

// The states of a node. MAINTENANCE is answered with 503, ERROR with 500 and all
// others with 200; only RUNNING and STOPPING nodes answer anything else than 503
// to other calls.
const (
	StateRunning     State = "RUNNING"
	StateStarting    State = "STARTING"
	StateStopping    State = "STOPPING"
	StateFirstRun    State = "FIRST_RUN"
	StateMaintenance State = "MAINTENANCE"
	StateError       State = "ERROR"
)

// maxRequests is how many requests a node remembers.
const maxRequests = 512

// Request is one call as a node received it.
type Request struct {
	At         time.Time
	Node       string
	User       string // "" anonymous
	Method     string
	RequestURI string // as on the request line
	Path       string // as Tomcat reads it, below the context path; "" when it does not
	Host       string
	RemoteAddr string
	Header     http.Header
}

// Node is one node of a product.
type Node struct {
	id      string
	product *Product
	srv     *server

	state     atomic.Value // State
	served    atomic.Uint64
	running   atomic.Int64
	asked     atomic.Uint64
	abandoned atomic.Uint64

	mu       sync.Mutex
	requests []Request // a ring once it is full
	oldest   int
}

// ID is n1, n2, ...
func (n *Node) ID() string { return n.id }

// URL is scheme, host and port, without the context path.
func (n *Node) URL() string { return n.srv.url() }

// Stop closes the listener and cuts every connection.
func (n *Node) Stop() { n.srv.stop() }

// Start listens again on the same port.
func (n *Node) Start(ctx context.Context) error { return n.srv.start(ctx) }

// SetState changes what /status says, and whether the node serves.
func (n *Node) SetState(s State) { n.state.Store(s) }

// Running is the number of requests inside the node now.
func (n *Node) Running() int64 { return n.running.Load() }

// StatusCalls counts the calls of /status.
func (n *Node) StatusCalls() uint64 { return n.asked.Load() }

// Abandoned counts slow and streaming calls whose client left before the end.
func (n *Node) Abandoned() uint64 { return n.abandoned.Load() }

// Requests are the last ones, oldest first; calls of /status are not among them.
func (n *Node) Requests() []Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Concat(n.requests[n.oldest:], n.requests[:n.oldest])
}

func (n *Node) remember(r *http.Request, path, user string) {
	n.product.counted(user)
	req := Request{
		At: time.Now(), Node: n.id, User: user, Method: r.Method, RequestURI: r.RequestURI, Path: path,
		Host: r.Host, RemoteAddr: r.RemoteAddr, Header: r.Header.Clone(),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.requests) < maxRequests {
		n.requests = append(n.requests, req)
		return
	}
	n.requests[n.oldest] = req
	n.oldest = (n.oldest + 1) % maxRequests
}

// ServeHTTP is the node's chain of filters, in the products' order.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer n.running.Add(-1)
	n.stampNode(w, n.running.Add(1))
	path, ok := tomcatPath(rawPath(r))
	if !ok {
		n.remember(r, "", "")
		containerError(w, http.StatusBadRequest, "Invalid URI")
		return
	}
	path, ok = inContext(path, n.product.contextPath)
	if !ok {
		n.remember(r, "", "")
		containerError(w, http.StatusNotFound, "Not Found")
		return
	}
	if n.product.kind != "bitbucket" {
		path = resourcePath(path)
	}
	if path == "/status" {
		n.status(w)
		return
	}
	id, refused := n.authenticate(r)
	c := call{identity: id, node: n, base: "http://" + r.Host + n.product.contextPath}
	n.remember(r, path, id.name)
	n.stampIdentity(w, id)
	n.product.faultOf(path).handle(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !n.serving() && !strings.HasPrefix(path, probePath):
			writePage(w, http.StatusServiceUnavailable, "Temporarily unavailable", "<p>The system is not ready.</p>\n")
		case refused != nil:
			n.refuse(w, c, *refused)
		case xsrfRefused(r, path):
			restMessage(w, http.StatusForbidden, "XSRF check failed")
		default:
			n.dispatch(w, r, path, c)
		}
	}))
}

// dispatch routes by the path Tomcat sees, not by that of net/http, which would
// redirect what it finds untidy.
func (n *Node) dispatch(w http.ResponseWriter, r *http.Request, path string, c call) {
	routed := r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	routed.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	n.product.mux.ServeHTTP(w, routed)
}

func (n *Node) stampNode(w http.ResponseWriter, running int64) {
	now := time.Now()
	minutes := now.Hour()*60 + now.Minute()
	w.Header().Set("X-ANODEID", n.id)
	w.Header().Set("X-AREQUESTID", fmt.Sprintf("%dx%dx%d", minutes, n.served.Add(1), running))
}

func (n *Node) current() State {
	s, _ := n.state.Load().(State)
	return s
}

func (n *Node) serving() bool {
	s := n.current()
	return s == StateRunning || s == StateStopping
}

func (n *Node) status(w http.ResponseWriter) {
	n.asked.Add(1)
	code := http.StatusOK
	switch n.current() {
	case StateMaintenance:
		code = http.StatusServiceUnavailable
	case StateError:
		code = http.StatusInternalServerError
	default:
	}
	writeJSON(w, code, map[string]any{"state": n.current()})
}
