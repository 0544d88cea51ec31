// Command gatehousectl prepares an installation whose services run as processes of their own, and looks after its streams.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

const usage = `usage: gatehousectl keys init DIR [GATEWAY…]
       gatehousectl stream list
       gatehousectl stream step-down NAME
       gatehousectl stream delete NAME

keys init makes in DIR what is missing of an installation's keys:
  introspection.age, gateway.age   identities that open secrets; give each service its own
  recovery.age                     opens everything; keep it offline
  *.pub, fingerprint.key           for config
  nats/<service>.nk                NKey seeds (GATEHOUSE_NATS_SEED_FILE of each service)
  nats/gateway.<id>.nk             the same, of each gateway that is named
  nats/operator.nk                 for gatehousectl stream; keep it offline
  nats/users.conf                  everybody's rights, to include in nats-server.conf
  nats/routes.conf                 what lets the NATS servers of a cluster join each other, to include in its cluster block
What is there stays as it is; users.conf is written anew, also for gateways that had a key before.

stream looks at the streams, has another server lead one, or deletes one, with the operator's key:
  GATEHOUSE_NATS_URL, GATEHOUSE_NATS_SEED_FILE=DIR/nats/operator.nk, GATEHOUSE_NATS_CA_FILE
`

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

func run(args, environ []string, out, errs io.Writer) int {
	command, rest := "", []string(nil)
	if len(args) >= 2 {
		command, rest = args[0]+" "+args[1], args[2:]
	}
	var err error
	switch {
	case command == "keys init" && len(rest) >= 1:
		err = initKeys(rest[0], rest[1:])
	case command == "stream list" && len(rest) == 0, (command == "stream step-down" || command == "stream delete") && len(rest) == 1:
		err = streams(context.Background(), args[1:], environ, out)
	default:
		_, _ = fmt.Fprint(errs, usage)
		return 2
	}
	if err != nil {
		_, _ = fmt.Fprintln(errs, "gatehousectl:", err)
		return 1
	}
	return 0
}

func initKeys(dir string, gateways []string) error {
	if err := secret.Init(dir); err != nil {
		return err
	}
	public, err := bus.InitSeeds(dir, gateways...)
	if err != nil {
		return err
	}
	if err := bus.InitRoutes(dir, []string{"route-1:6222", "route-2:6222", "route-3:6222"}); err != nil { // of docker-compose.yml
		return err
	}
	return os.WriteFile(filepath.Join(dir, "nats", "users.conf"), []byte(topology.ServerConf(public)), 0o600)
}
