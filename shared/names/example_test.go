package names_test

import (
	"fmt"

	"github.com/gatehouse-suite/gatehouse/shared/names"
)

func Example() {
	fmt.Println(names.Same("Alice", "ALICE"))
	fmt.Println(names.Same("admİn", "admin")) // another user of the products
	// Output:
	// true
	// false
}
