// Command gatehouse-config is the config service as a process of its own.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/service"

	"github.com/gatehouse-suite/gatehouse/services/config"
)

func main() {
	os.Exit(service.Main("config", os.Environ(), os.Stderr, config.Run))
}
