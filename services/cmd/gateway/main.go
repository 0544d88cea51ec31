// Command gatehouse-gateway is the gateway service as a process of its own. With --ship-spool DIR it ships the audit
// records that a gateway has left in a folder, and ends.
package main

import (
	"fmt"
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 0:
		os.Exit(service.Main("gateway", os.Environ(), os.Stderr, gateway.Run))
	case len(args) == 2 && args[0] == "--ship-spool":
		os.Exit(gateway.ShipSpool(args[1], os.Environ(), os.Stderr))
	default:
		_, _ = fmt.Fprintln(os.Stderr, "usage: gatehouse-gateway [--ship-spool DIR]")
		os.Exit(2)
	}
}
