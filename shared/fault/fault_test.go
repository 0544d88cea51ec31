package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

func Example() {
	err := fmt.Errorf("put config: %w", fault.New(fault.NotFound, "no such site"))
	fmt.Println(fault.CodeOf(err), fault.CodeOf(err).HTTPStatus(), fault.From(err).Message)
	// Output: not_found 404 no such site
}

func TestUnclassifiedTextStaysInside(t *testing.T) {
	t.Parallel()
	f := fault.From(errors.New("dial tcp 10.1.2.3:5432: password authentication failed"))
	if f.Code != fault.Internal || f.Message != "internal error" {
		t.Fatalf("got %q %q", f.Code, f.Message)
	}
}

func TestWrapKeepsTheCauseForTheLogOnly(t *testing.T) {
	t.Parallel()
	cause := errors.New("secret detail")
	err := fault.Wrap(fault.Unavailable, "the broker is away", cause)
	if !errors.Is(err, cause) || err.Message != "the broker is away" {
		t.Fatalf("cause lost or shown: %v", err)
	}
	if !errors.Is(fmt.Errorf("x: %w", err), fault.New(fault.Unavailable, "")) {
		t.Fatal("a fault is not recognised by its code")
	}
	if errors.Is(err, fault.New(fault.Invalid, "")) {
		t.Fatal("a fault is recognised by another code")
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []fault.Code{
		fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.NotFound,
		fault.Conflict, fault.Limited, fault.Unavailable, fault.Internal,
	} {
		if !c.Known() || c.HTTPStatus() < 400 {
			t.Errorf("%s: known %t, status %d", c, c.Known(), c.HTTPStatus())
		}
	}
	if fault.Code("nonsense").Known() || fault.Code("nonsense").HTTPStatus() != 500 {
		t.Error("an unknown code passes for known")
	}
}
