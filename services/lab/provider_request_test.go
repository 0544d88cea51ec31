package lab

import (
	"errors"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func TestRequestsExpire(t *testing.T) {
	t.Parallel()
	now := time.Now()
	late := now.Add(loginTime)
	q := newRequests()
	add := func() string {
		a, err := q.add(now, &oidc.AuthRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return a.id
	}
	want := func(want, err error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("error is %v, want %v", err, want)
		}
	}

	id := add()
	want(errNoRequest, q.login(late, id, "alice"))
	want(nil, q.login(late.Add(-1), id, "alice"))
	want(errNoRequest, q.code(late, id, "c"))
	want(nil, q.code(now, id, "c"))
	if _, err := q.spend(now.Add(codeLifetime), "c"); !errors.Is(err, errNoCode) {
		t.Errorf("a code of a minute ago: %v", err)
	}
	a, err := q.spend(now.Add(codeLifetime-1), "c")
	if err != nil || a.spent || a.user != "alice" {
		t.Errorf("spend = %+v, %v", a, err)
	}
	if a, err = q.spend(now, "c"); err != nil || !a.spent {
		t.Errorf("spend again = %+v, %v", a, err)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	q := newRequests()
	for range maxLogins {
		a, err := q.add(now, &oidc.AuthRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.code(now, a.id, a.id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.add(now, &oidc.AuthRequest{}); !errors.Is(err, errTooMany) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := q.add(now.Add(codeLifetime), &oidc.AuthRequest{}); err != nil || q.size() != 1 {
		t.Errorf("after a minute: %v, size %d", err, q.size())
	}
}
