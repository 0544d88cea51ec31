// Command gatehouse-gateway is the gateway service as a process of its own.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

func main() {
	os.Exit(service.Main("gateway", os.Environ(), os.Stderr, gateway.Run))
}
