package gateway

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http/httptest"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gomodule/oauth1/oauth"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// knownMember is a call of a user whose groups are remembered, at a site with group rules.
func knownMember(tb testing.TB) *call {
	tb.Helper()
	c := &configlog.Site{ID: "jira", Product: "jira", Directory: configlog.Directory{Source: "product", MaxAge: configlog.Duration(time.Hour)}}
	c.Groups.ReadOnly = []string{"read-only"}
	s := &site{config: c, product: jira(), groups: newGroupRules(c)}
	var err error
	if s.reading, err = s.product.readings(); err != nil {
		tb.Fatal(err)
	}
	m, err := newMembers(nil, Settings{IdentityCache: 1000}, func(string) {})
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	m.known.Set(memberKey{s.groups.salt, "bob"}, s.groups.hold(&identityv1.GroupsReply{
		Standing: identityv1.GroupsReply_STANDING_ACTIVE, Groups: []string{"read-only"},
	}, now))
	return &call{
		gw: &gateway{members: m}, site: s, ctx: context.Background(), at: now, user: "bob", path: "/rest/api/2/search",
		r: httptest.NewRequest("POST", "/rest/api/2/search", nil), target: rules.Target{Raw: "/rest/api/2/search", Path: "/rest/api/2/search"},
	}
}

func TestJudgingAMemberAllocatesNothing(t *testing.T) {
	c := knownMember(t)
	if n := testing.AllocsPerRun(1000, func() {
		if a := groupsAllow(c); a.kind != goOn {
			t.Fatal(a)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMember is row 12 for a user whose groups are remembered, with the lists of what only reads.
func BenchmarkMember(b *testing.B) {
	c := knownMember(b)
	b.ReportAllocs()
	for b.Loop() {
		if a := groupsAllow(c); a.kind != goOn {
			b.Fatal(a)
		}
	}
}

// BenchmarkSign is what driver oauth1-2loi adds to a call: an RSA signature by a key of 2048 bits.
func BenchmarkSign(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	s := &signer{scheme: "https", host: "jira.example.com", client: oauth.Client{SignatureMethod: oauth.RSASHA1, PrivateKey: key}}
	for b.Loop() {
		if _, err := s.sign("GET", "", "/rest/api/2/search?jql=project%20%3D%20LAB&maxResults=50&xoauth_requestor_id=svc-api", nil); err != nil {
			b.Fatal(err)
		}
	}
}
