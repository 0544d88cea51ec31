// Command gatehouse-audit is the audit service as a process of its own.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/audit"
)

func main() {
	os.Exit(service.Main("audit", os.Environ(), os.Stderr, audit.Run))
}
