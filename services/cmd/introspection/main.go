// Command gatehouse-introspection is the introspection service as a process of its own.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

func main() {
	os.Exit(service.Main("introspection", os.Environ(), os.Stderr, introspection.Run))
}
