package introspection_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// TestWhatConfluenceDoesNotSayIsNotNo: a 404 where groups should be is no word that there are none, but for a group that
// the same Confluence does not have.
func TestWhatConfluenceDoesNotSayIsNotNo(t *testing.T) {
	t.Parallel()
	const known = `{"type":"known","username":"bob"}`
	list := func(next bool, names ...string) string {
		text, link := `{"results":[`, ""
		for i, n := range names {
			text += strings.Repeat(",", min(i, 1)) + `{"type":"group","name":"` + n + `"}`
		}
		if next {
			link = `"next":"/rest/api/x"`
		}
		return text + `],"_links":{` + link + `}}`
	}
	for _, c := range []struct {
		name    string
		answers map[string]string // by path and start
		text    string            // empty: he is in developers and no more
	}{
		{"all is said", map[string]string{"memberof 0": list(false, "developers"), "groupancestor 0": list(false)}, ""},
		{"a group that is gone", map[string]string{"memberof 0": list(false, "developers")}, ""},
		{"no list of his groups", map[string]string{}, "404 for a list"},
		{"no second page", map[string]string{"memberof 0": list(true, "developers"), "groupancestor 0": list(false)}, "404 for a list"},
		{"no word on what a group is in", map[string]string{"memberof 0": list(false, "developers"), "developers 0": `{"type":"group","name":"developers"}`}, "404 for a list"},
		{"no second page of it", map[string]string{"memberof 0": list(false, "developers"), "groupancestor 0": list(true, "staff"), "developers 0": "{}"}, "404 for a list"},
		{"no results", map[string]string{"memberof 0": `{"_links":{}}`}, "no list of groups"},
		{"a group without a name", map[string]string{"memberof 0": list(false, ""), "groupancestor 0": list(false)}, "no list of groups"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				key := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] + " " + cmp.Or(r.FormValue("start"), "0")
				switch answer, ok := c.answers[key]; {
				case key == "user 0":
					says(200, "application/json", known)(w, r)
				case ok:
					says(200, "application/json", answer)(w, r)
				default:
					says(404, "application/json", `{"statusCode":404,"message":"null for uri"}`)(w, r)
				}
			}))
			t.Cleanup(node.Close)
			w.commit(registered("confluence", "confluence"),
				&configv1.NodeAttached{Site: "confluence", Node: "n1", Url: node.URL},
				&configv1.UpstreamDriverSet{Site: "confluence", Driver: "pat"},
				&configv1.UpstreamAccountSet{Site: "confluence", Account: "svc", Credential: w.shared("token")},
				&configv1.DirectorySet{Site: "confluence", Source: "product", Account: "svc", MaxAge: durationpb.New(time.Hour)},
				&configv1.ReadOnlyGroupsSet{Site: "confluence", Groups: []string{"read-only"}})
			w.run(nil)
			r, err := w.groups("confluence", "bob", "developers", "staff")
			if c.text == "" {
				if err != nil || !slices.Equal(r.GetGroups(), []string{"developers"}) {
					t.Errorf("%v, %v", r, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
}

// TestOneLookIsOneNodesWord, as long as that node answers.
func TestOneLookIsOneNodesWord(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.directories(l, time.Hour)
	at, err := url.Parse(l.Confluence.Nodes()[0].URL())
	if err != nil {
		t.Fatal(err)
	}
	var asked [2]atomic.Int64
	for i := range asked {
		proxy := httputil.NewSingleHostReverseProxy(at)
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i].Add(1)
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(node.Close)
		w.commit(&configv1.NodeAttached{Site: "confluence", Node: fmt.Sprint("more", i), Url: node.URL})
	}
	w.run(nil)
	for _, user := range []string{"bob", "alice", "svc-api", "carol"} {
		before := [2]int64{asked[0].Load(), asked[1].Load()}
		if _, err := w.groups("confluence", user, "developers"); err != nil {
			t.Fatal(err)
		}
		if asked[0].Load() != before[0] && asked[1].Load() != before[1] {
			t.Errorf("%s was looked up at two nodes", user)
		}
	}
	if asked[0].Load() == 0 || asked[1].Load() == 0 {
		t.Error("a node was asked about nobody")
	}
}

// TestCrowdIsReadToItsEnd: what it gives of a page may be less than it was asked for.
func TestCrowdIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	var many []string
	for i := range 95 {
		many = append(many, fmt.Sprint("g", i))
	}
	l.Jira.AddUser("mary", append(many, "staff", "z")...)
	real := l.Jira.Crowd("gatehouse", "w")
	crowd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Has("max-results") {
			q.Set("max-results", "10")
			r.URL.RawQuery = q.Encode()
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(crowd.Close)
	w.products(l)
	credential := w.seal("w")
	w.commit(
		&configv1.DirectorySet{Site: "jira", Source: "crowd", Url: crowd.URL, Account: "gatehouse", MaxAge: durationpb.New(time.Hour)},
		&configv1.DirectoryCredentialSet{Site: "jira", Credential: credential.Proto()},
		&configv1.GroupRequirementSwitched{Site: "jira", Require: true},
	)
	w.run(nil)
	w.in("mary", "staff")
}

// TestNamesThatOnlyLookAlike: the products keep admin and admİn apart, and so do groups and users here.
func TestNamesThatOnlyLookAlike(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	for _, p := range []*lab.Product{l.Jira, l.Confluence} {
		p.AddUser("admin", "read-only", "admins")
		p.AddUser("adm\u0130n", "adm\u0130ns")
	}
	w.directories(l, time.Hour)
	w.run(nil)
	for _, site := range []string{"jira", "confluence"} {
		for range 2 { // of the directory, then remembered
			for user, want := range map[string][]string{"ADMIN": {"read-only", "admins"}, "adm\u0130n": {"adm\u0130ns"}, "ADM\u0130N": {"adm\u0130ns"}} {
				r, err := w.groups(site, user, "read-only", "admins", "adm\u0130ns")
				if err != nil || !slices.Equal(r.GetGroups(), want) {
					t.Errorf("%s at %s: %v, %v", user, site, r, err)
				}
			}
		}
	}
}
