package reading

import (
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

func TestTooManySearches(t *testing.T) {
	t.Parallel()
	var a Reader
	slots := make(chan struct{}, 1)
	if err := a.enter(t.Context(), slots); err != nil {
		t.Fatal(err)
	}
	if err := a.enter(t.Context(), slots); fault.CodeOf(err) != fault.Limited {
		t.Errorf("got %v", err)
	}
}
