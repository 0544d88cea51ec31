package testkit

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestAServerWithoutTheSecretIsNotLetIn stands for whoever reaches the port that servers have for each other.
func TestAServerWithoutTheSecretIsNotLetIn(t *testing.T) {
	t.Parallel()
	c := StartCluster(t)
	for name, user := range map[string]*url.Userinfo{
		"no secret": nil, "another secret": url.UserPassword("routes", "x"), "another user": url.UserPassword("x", c.secret),
	} {
		s, refused := c.joins(t, user)
		// It counts a route of its own until it hears that it was refused.
		Until(t, name+" to be refused", func() bool { return refused.Load() > 0 && s.NumRoutes() == 0 })
	}
	s, refused := c.joins(t, url.UserPassword("routes", c.secret))
	Until(t, "the secret to be taken", func() bool { return s.NumRoutes() > 0 })
	if refused.Load() != 0 {
		t.Error("the secret was refused")
	}
}

// joins has one more server try to join the first one, and counts how often it is refused.
func (c *Cluster) joins(t *testing.T, user *url.Userinfo) (*server.Server, *atomic.Int32) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
		Cluster: server.ClusterOpts{Name: "gatehouse", Host: "127.0.0.1", Port: server.RANDOM_PORT},
		Routes:  []*url.URL{{Scheme: "nats-route", User: user, Host: c.nodes[0].route}},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := new(atomic.Int32)
	s.SetLoggerV2(&refusals{n: refused}, false, false, false)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s, refused
}

// refusals counts the times that a server says it was refused.
type refusals struct{ n *atomic.Int32 }

func (r *refusals) Errorf(format string, v ...any) {
	if strings.Contains(fmt.Sprintf(format, v...), "Authorization Violation") {
		r.n.Add(1)
	}
}
func (r *refusals) Noticef(string, ...any) {}
func (r *refusals) Warnf(string, ...any)   {}
func (r *refusals) Fatalf(string, ...any)  {}
func (r *refusals) Debugf(string, ...any)  {}
func (r *refusals) Tracef(string, ...any)  {}
