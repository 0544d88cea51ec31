// Command gatehouse-suite is all of Gatehouse in one process, with an embedded NATS server and, unless it is
// given a database, a Postgres of its own. With --lab it also runs an OAuth 2.0 provider and products to
// stand in front of.
package main

import (
	"os"

	"github.com/gatehouse-suite/gatehouse/services/suite"
)

func main() {
	os.Exit(suite.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
