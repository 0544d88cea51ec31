package introspection_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const (
	memberOf = identityv1.GroupsReply_STANDING_ACTIVE
	stranger = identityv1.GroupsReply_STANDING_UNKNOWN
	inactive = identityv1.GroupsReply_STANDING_INACTIVE
)

func (w *world) groups(site, user string, among ...string) (*identityv1.GroupsReply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 10*time.Second)
	defer cancel()
	reply := new(identityv1.GroupsReply)
	return reply, ask.Do(ctx, w.gw, topology.Groups, &identityv1.GroupsRequest{Site: site, User: user, Among: among, ConfigSequence: w.at.Seq}, reply)
}

// in wants a user of site jira to be in exactly these of the groups that are asked about.
func (w *world) in(user string, want ...string) {
	w.t.Helper()
	w.inAt("jira", user, want...)
}

func (w *world) inAt(site, user string, want ...string) {
	w.t.Helper()
	r, err := w.groups(site, user, "Developers", "automation", "READ-only", "staff", "engineering")
	if err != nil || r.GetStanding() != memberOf || !slices.Equal(r.GetGroups(), want) {
		w.t.Fatalf("%s at %s: %v, %v; want %q", user, site, r, err, want)
	}
}

func (w *world) stands(site, user string, want identityv1.GroupsReply_Standing) {
	w.t.Helper()
	if r, err := w.groups(site, user, "developers"); err != nil || r.GetStanding() != want || len(r.GetGroups()) > 0 {
		w.t.Fatalf("%q at %s: %v, %v; want %s", user, site, r, err, want)
	}
}

func (w *world) closed(user, want string) {
	w.t.Helper()
	if r, err := w.groups("jira", user, "developers"); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), want) {
		w.t.Fatalf("%s: %v, %v; want unavailable, %q", user, r, err, want)
	}
}

// shared seals what introspection and the gateways can open, as config does with an account's credential.
func (w *world) shared(value string) *configv1.Secret {
	w.t.Helper()
	w.sealed++
	s := configlog.Secret{Ref: fmt.Sprint("a", w.sealed), Version: 1}
	if err := w.sealer.Seal(w.t.Context(), secret.Both, s.Key(), value); err != nil {
		w.t.Fatal(err)
	}
	return s.Proto()
}

// directories has both products of a lab look up groups as svc-api.
func (w *world) directories(l *lab.Lab, maxAge time.Duration) {
	w.t.Helper()
	w.products(l)
	for site, p := range map[string]*lab.Product{"jira": l.Jira, "confluence": l.Confluence} {
		w.commit(
			&configv1.UpstreamDriverSet{Site: site, Driver: "pat"},
			&configv1.UpstreamAccountSet{Site: site, Account: "svc-api", Credential: w.shared(p.PAT("svc-api"))},
			&configv1.DirectorySet{Site: site, Source: "product", Account: "svc-api", MaxAge: durationpb.New(maxAge)},
			&configv1.ReadOnlyGroupsSet{Site: site, Groups: []string{"read-only"}},
		)
	}
}

func TestTheProductsSayWhichGroupsAUserIsIn(t *testing.T) {
	t.Parallel()
	settings := lab.Free("")
	settings.JiraContextPath, settings.ConfluenceContextPath = "/jira", "/wiki"
	w, l := newWorld(t), startLab(t, settings)
	w.directories(l, time.Hour)
	w.run(nil)
	for _, site := range []string{"jira", "confluence"} {
		for range 3 {
			w.inAt(site, "bob", "Developers", "READ-only")
			w.inAt(site, "BOB", "Developers", "READ-only")
		}
		w.inAt(site, "svc-api", "automation")
		w.inAt(site, "carol")
		w.stands(site, "mallory", inactive)
		w.stands(site, "nobody-knows", stranger)
		w.stands(site, "", stranger)
		w.stands(site, "a\nb", stranger)
		w.stands(site, strings.Repeat("u", 2000), stranger)
	}
	for _, p := range []*lab.Product{l.Jira, l.Confluence} {
		for _, n := range p.Nodes() {
			for _, r := range n.Requests() {
				if r.Header.Get("Authorization") != "Bearer "+p.PAT("svc-api") {
					t.Errorf("%s was asked with %q", r.RequestURI, r.Header.Get("Authorization"))
				}
			}
		}
	}
	if n := l.Jira.Count("svc-api"); n != 5 { // one of each user that can be one
		t.Errorf("jira was asked %d times", n)
	}
}

// TestNestedGroupsOfConfluence are asked for group by group, once in a while for all who are in one.
func TestNestedGroupsOfConfluence(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	l.Confluence.Nest("developers", "engineering")
	l.Confluence.Nest("engineering", "staff", "developers")
	l.Confluence.AddUser("dora", "developers", "with/slash")
	var many []string
	for i := range 450 {
		many = append(many, fmt.Sprint("g", i))
	}
	l.Confluence.AddUser("mary", append(many, "developers")...)
	w.directories(l, time.Hour)
	w.run(nil)
	w.inAt("confluence", "bob", "Developers", "READ-only", "staff", "engineering")
	w.inAt("confluence", "mary", "Developers", "staff", "engineering") // on the third page
	if r, err := w.groups("confluence", "dora", "developers"); err == nil || !strings.Contains(err.Error(), "holds a slash") {
		t.Errorf("a group Confluence cannot be asked about: %v, %v", r, err)
	}
	asked := l.Confluence.Count("svc-api")
	w.inAt("confluence", "alice", "Developers", "staff", "engineering")
	if n := l.Confluence.Count("svc-api") - asked; n != 2 { // who she is, and her groups: what those are in is known
		t.Errorf("asked %d times", n)
	}
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	l.Jira.Nest("developers", "engineering")
	var many []string
	for i := range 2500 {
		many = append(many, fmt.Sprint("g", i))
	}
	l.Jira.AddUser("mary", append(many, "staff")...)
	crowd := httptest.NewServer(l.Jira.Crowd("gatehouse", "p:w"))
	t.Cleanup(crowd.Close)
	w.products(l)
	credential := w.seal("p:w")
	w.commit(
		&configv1.DirectorySet{Site: "jira", Source: "crowd", Url: crowd.URL + "/", Account: "gatehouse", MaxAge: durationpb.New(time.Hour)},
		&configv1.DirectoryCredentialSet{Site: "jira", Credential: credential.Proto()},
		&configv1.GroupRequirementSwitched{Site: "jira", Require: true},
	)
	w.run(nil)
	w.in("bob", "Developers", "READ-only", "engineering")
	w.in("mary", "staff") // on the third page
	w.stands("jira", "mallory", inactive)
	w.stands("jira", "nobody-knows", stranger)
	wrong := w.seal("wrong")
	w.commit(&configv1.DirectoryCredentialSet{Site: "jira", Credential: wrong.Proto()})
	w.closed("bob", "does not take our account")
	w.closed("bob", "refused our account lately") // a wrong password is shown once
	w.commit(&configv1.DirectoryCredentialSet{Site: "jira", Credential: credential.Proto()})
	w.in("bob", "Developers", "READ-only", "engineering")
}

// TestGroupsAreRefreshedBehindTheBackOfWhoAsks, from half of max_age on; whoever asks does not wait for it.
func TestGroupsAreRefreshedBehindTheBackOfWhoAsks(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.directories(l, 2*time.Second)
	w.run(nil)
	w.in("bob", "Developers", "READ-only")
	l.Jira.SetGroups("bob", "staff")
	l.Jira.SetFault("/rest/api/2/user", lab.Slow(300*time.Millisecond))
	longest := time.Duration(0)
	testkit.Until(t, "the new groups", func() bool {
		began := time.Now()
		r, err := w.groups("jira", "bob", "staff", "developers")
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		if age := r.GetAge().AsDuration(); age >= 2*time.Second {
			t.Fatalf("an answer %v old", age)
		}
		return slices.Equal(r.GetGroups(), []string{"staff"})
	})
	if longest >= 300*time.Millisecond {
		t.Errorf("somebody waited %v", longest)
	}
	l.Jira.SetActive("bob", false)
	testkit.Until(t, "a user who is no longer active", func() bool {
		r, err := w.groups("jira", "bob", "staff")
		return err == nil && r.GetStanding() == inactive
	})
}

// TestADirectoryThatIsAway: its last word holds until max_age, and then nobody is let in.
func TestADirectoryThatIsAway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.directories(l, 2*time.Second)
	i := w.run(func(s *introspection.Settings) { s.BreakerPause = 50 * time.Millisecond })
	said := time.Now()
	w.in("bob", "Developers", "READ-only")
	for _, n := range l.Jira.Nodes() {
		n.Stop()
	}
	held := 0
	testkit.Until(t, "the end of what the directory said last", func() bool {
		r, err := w.groups("jira", "bob", "developers")
		if err != nil {
			return true
		}
		if r.GetAge().AsDuration() >= 2*time.Second || !slices.Equal(r.GetGroups(), []string{"developers"}) {
			t.Fatalf("%v", r)
		}
		held++
		return false
	})
	if d := time.Since(said); d < 2*time.Second || held == 0 {
		t.Errorf("it held for %v, %d answers", d, held)
	}
	w.closed("bob", "")
	w.closed("alice", "")
	for _, n := range l.Jira.Nodes() {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Until(t, "the directory to be asked again", func() bool {
		r, err := w.groups("jira", "bob", "developers")
		return err == nil && r.GetStanding() == memberOf
	})
	if n := i.metric(t, "gatehouse_introspection_directory_lookups_total", `result="unreachable"`); n == 0 {
		t.Error("no look counted as unreachable")
	}
}

// TestWhatADirectoryMayAnswer: only a clear word about the user is one.
func TestWhatADirectoryMayAnswer(t *testing.T) {
	t.Parallel()
	const maxAge = 2 * time.Second
	const bean = `{"name":"bob","active":true,"groups":{"size":1,"items":[{"name":"developers"}]}}`
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		text    string
	}{
		{"HTML", says(200, "text/html", bean), "Content-Type"},
		{"404 of somebody between", says(404, "text/html", "<html>"), "Content-Type"},
		{"broken", says(200, "application/json", bean[:20]), "broken JSON"},
		{"another user", says(200, "application/json", strings.Replace(bean, "bob", "bobby", 1)), "not about the user"},
		{"no active", says(200, "application/json", `{"name":"bob","groups":{"size":0,"items":[]}}`), "not about the user"},
		{"not all groups", says(200, "application/json", strings.Replace(bean, `"size":1`, `"size":51`, 1)), "all groups"},
		{"no groups at all", says(200, "application/json", `{"name":"bob","active":true}`), "all groups"},
		{"no list in them", says(200, "application/json", `{"name":"bob","active":true,"groups":{"size":0}}`), "all groups"},
		{"no size", says(200, "application/json", `{"name":"bob","active":true,"groups":{"items":[]}}`), "all groups"},
		{"a group without a name", says(200, "application/json", `{"name":"bob","active":true,"groups":{"size":1,"items":[{}]}}`), "no list of groups"},
		{"not expanded", says(200, "application/json", `{"name":"bob","active":true,"groups":{"size":3,"items":[]}}`), "all groups"},
		{"401", says(401, "application/json", `{}`), "our account"},
		{"403", says(403, "application/json", `{}`), "our account"},
		{"500", says(500, "application/json", bean), "500"},
		{"redirect", says(302, "application/json", bean), "302"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}, "larger"},
		{"as nobody", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-AUSERNAME", "anonymous")
			says(200, "application/json", bean)(w, r)
		}, "as our account"},
		{"as another", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-AUSERNAME", "alice")
			says(200, "application/json", bean)(w, r)
		}, "as our account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var fail atomic.Bool
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if fail.Load() {
					c.handler(w, r)
					return
				}
				says(200, "application/json", bean)(w, r)
			}))
			t.Cleanup(node.Close)
			w.commit(registered("jira", "jira"),
				&configv1.NodeAttached{Site: "jira", Node: "n1", Url: node.URL},
				&configv1.UpstreamDriverSet{Site: "jira", Driver: "pat"},
				&configv1.UpstreamAccountSet{Site: "jira", Account: "svc", Credential: w.shared("token")},
				&configv1.DirectorySet{Site: "jira", Source: "product", Account: "svc", MaxAge: durationpb.New(maxAge)},
				&configv1.ReadOnlyGroupsSet{Site: "jira", Groups: []string{"read-only"}})
			w.run(func(s *introspection.Settings) { s.BreakerFailures = 100 })
			began := time.Now()
			w.in("bob", "Developers")
			fail.Store(true)
			testkit.Until(t, "the last word to end", func() bool {
				r, err := w.groups("jira", "bob", "developers")
				if err == nil && (r.GetStanding() != memberOf || len(r.GetGroups()) != 1) {
					t.Fatalf("nonsense took it back: %v", r)
				}
				return err != nil && time.Since(began) >= maxAge
			})
			w.closed("bob", c.text)
		})
	}
}

// TestADirectoryThatCannotBeAsked is named, and asked as soon as it can be.
func TestADirectoryThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.directories(l, time.Hour)
	late := &configv1.Secret{Ref: "late", Version: 1}
	w.commit(&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: late})
	i := w.run(nil)
	w.closed("bob", "cannot be opened")
	if !strings.Contains(i.get("/readyz"), `"directories_unusable":{"jira":"its secret cannot be opened"}`) {
		t.Errorf("/readyz: %s", i.get("/readyz"))
	}
	if err := w.sealer.Seal(t.Context(), secret.Both, "late.1", l.Jira.PAT("svc-api")); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the secret to be opened", func() bool {
		r, err := w.groups("jira", "bob", "developers")
		return err == nil && len(r.GetGroups()) == 1
	})
	w.commit(&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: w.shared("no longer good")})
	w.closed("bob", "401: it does not take our account")
	w.commit(&configv1.UpstreamAccountRemoved{Site: "jira", Account: "svc-api"})
	w.closed("bob", "no account")
	w.commit(&configv1.ReadOnlyGroupsSet{Site: "jira"})
	w.closed("bob", "no rule of this site")
}

func TestAsManyAsAskTheDirectoryIsAskedOnce(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.directories(l, time.Hour)
	w.run(nil)
	l.Jira.SetFault("/rest/api/2/user", lab.Slow(100*time.Millisecond))
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if r, err := w.groups("jira", "bob", "developers"); err != nil || len(r.GetGroups()) != 1 {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	callers.Wait()
	if n := l.Jira.Count("svc-api"); n != 1 {
		t.Errorf("the directory was asked %d times", n)
	}
}

// TestBitbucketSaysWhichGroupsAUserIsIn: there is none in the lab, so its answers are those of its REST documentation.
func TestBitbucketSaysWhichGroupsAUserIsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/rest/api/latest/users/bob_example.com":
			says(200, "application/json", `{"name":"Bob@example.com","emailAddress":"b@example.com","active":true,"displayName":"Bob","id":3,"slug":"bob_example.com","type":"NORMAL"}`)(w, r)
		case "/rest/api/latest/users/mallory":
			says(200, "application/json", `{"name":"mallory","active":false,"slug":"mallory"}`)(w, r)
		case "/rest/api/latest/users/dora":
			says(200, "application/json", `{"name":"dora","active":true,"slug":"dora"}`)(w, r)
		case "/rest/api/latest/admin/users/more-members?context=dora&limit=1000&start=0":
			says(200, "application/json", `{"size":0,"isLastPage":true}`)(w, r)
		case "/rest/api/latest/admin/users/more-members?context=bob%40example.com&limit=1000&start=0":
			says(200, "application/json", `{"size":1,"limit":1,"isLastPage":false,"nextPageStart":1,"values":[{"name":"developers","deletable":true}],"start":0}`)(w, r)
		case "/rest/api/latest/admin/users/more-members?context=bob%40example.com&limit=1000&start=1":
			says(200, "application/json", `{"size":1,"limit":1,"isLastPage":true,"values":[{"name":"staff"}],"start":1}`)(w, r)
		default:
			says(404, "application/json", `{"errors":[{"context":null,"message":"User does not exist.","exceptionName":"com.atlassian.bitbucket.user.NoSuchUserException"}]}`)(w, r)
		}
	}))
	t.Cleanup(node.Close)
	w.commit(registered("bitbucket", "bitbucket"),
		&configv1.NodeAttached{Site: "bitbucket", Node: "n1", Url: node.URL},
		&configv1.UpstreamDriverSet{Site: "bitbucket", Driver: "basic"},
		&configv1.UpstreamAccountSet{Site: "bitbucket", Account: "svc", Credential: w.shared("password")},
		&configv1.DirectorySet{Site: "bitbucket", Source: "product", Account: "svc", MaxAge: durationpb.New(time.Hour)},
		&configv1.ReadOnlyGroupsSet{Site: "bitbucket", Groups: []string{"read-only"}})
	w.run(nil)
	w.inAt("bitbucket", "bob@example.com", "Developers", "staff")
	w.stands("bitbucket", "mallory", inactive)
	w.stands("bitbucket", "nobody", stranger)
	if r, err := w.groups("bitbucket", "dora", "developers"); err == nil || !strings.Contains(err.Error(), "no list of groups") {
		t.Errorf("a page without values: %v, %v", r, err)
	}
}
