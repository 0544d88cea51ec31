// Command gatehouse-ratelimit is the ratelimit service as a process of its own.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/ratelimit"
)

func main() {
	os.Exit(service.Main("ratelimit", os.Environ(), os.Stderr, ratelimit.Run))
}
