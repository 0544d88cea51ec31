package lab

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-suite/gatehouse/shared/names"
)

// maxFailures wrong passwords in a row are allowed; then comes the CAPTCHA.
const maxFailures = 3

// account is one user of a product, as a copy.
type account struct {
	name, key, display string
	groups             []string
	active             bool
}

func (a account) anonymous() bool { return a.name == "" }

func (a account) memberOf(group string) bool { return slices.Contains(a.groups, group) }

// login is how an attempt with a password ended, in Seraph's words.
type login string

const (
	loginOK     login = "OK"
	loginFailed login = "AUTHENTICATED_FAILED"
	loginDenied login = "AUTHENTICATION_DENIED" // not even tried: CAPTCHA
)

// directory is the users of one product, with what they did wrong.
type directory struct {
	everybody string // the group all users are in

	mu        sync.Mutex
	accounts  map[string]*account
	failures  map[string]int      // wrong passwords in a row
	attempts  map[string]uint64   // passwords shown; unknown names under ""
	ancestors map[string][]string // the groups a group is in
}

func newDirectory(everybody string) *directory {
	d := &directory{
		everybody: everybody,
		accounts:  map[string]*account{},
		failures:  map[string]int{},
		attempts:  map[string]uint64{},
		ancestors: map[string][]string{},
	}
	d.add("svc-api", "automation")
	d.add("alice", "developers")
	d.add("bob", "developers", "read-only")
	d.add("carol", "jira-administrators")
	d.add("mallory", "developers")
	d.change("mallory", func(a *account) { a.active = false })
	return d
}

func (d *directory) add(name string, groups ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, rest := name[:1], name[1:]
	d.accounts[names.Fold(name)] = &account{
		name: name, display: strings.ToUpper(first) + rest, active: true,
		key:    fmt.Sprintf("JIRAUSER%d", 10100+len(d.accounts)),
		groups: append([]string{d.everybody}, groups...),
	}
}

func (d *directory) change(name string, change func(*account)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := d.accounts[names.Fold(name)]; ok {
		change(a)
	}
}

// find looks a user up by name, as the products do without regard to case.
func (d *directory) find(name string) (account, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.accounts[names.Fold(name)]
	if !ok {
		return account{}, false
	}
	return *a, true
}

func (d *directory) findKey(key string) (account, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.accounts {
		if a.key == key {
			return *a, true
		}
	}
	return account{}, false
}

// members are the users of a group; known is false when no user is in it.
func (d *directory) members(group string) (members []account, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.accounts {
		if a.memberOf(group) {
			members = append(members, *a)
		}
	}
	slices.SortFunc(members, func(a, b account) int { return strings.Compare(a.name, b.name) })
	_, named := d.ancestors[group]
	return members, named || len(members) > 0
}

// groups are all groups that have a member, in order.
func (d *directory) groups() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, a := range d.accounts {
		all = append(all, a.groups...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ancestorsOf are the groups a group is in, nearest first, and theirs in turn.
func (d *directory) ancestorsOf(group string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for queue := slices.Clone(d.ancestors[group]); len(queue) > 0; queue = queue[1:] {
		if !slices.Contains(all, queue[0]) {
			all = append(all, queue[0])
			queue = append(queue, d.ancestors[queue[0]]...)
		}
	}
	return all
}

// password checks name and password. In a web login a person solves the CAPTCHA,
// so the count of failures does not refuse it.
func (d *directory) password(name, password string, web bool) (account, login) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := names.Fold(name)
	a, known := d.accounts[id]
	if !known {
		d.attempts[""]++
		return account{}, loginFailed
	}
	d.attempts[id]++
	if !web && d.failures[id] >= maxFailures {
		return account{}, loginDenied
	}
	if password != passwordOf(a.name) || !a.active {
		d.failures[id]++
		return account{}, loginFailed
	}
	d.failures[id] = 0
	return *a, loginOK
}

func (d *directory) resetCaptcha(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures[names.Fold(name)] = 0
}

func (d *directory) attemptsOf(name string) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.attempts[names.Fold(name)]
}

func passwordOf(name string) string { return name + "-password" }
