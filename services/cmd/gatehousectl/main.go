// Command gatehousectl prepares an installation whose services run as processes of their own.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatehouse-suite/gatehouse/shared/bus"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

const usage = `usage: gatehousectl keys init DIR

Makes in DIR what is missing of an installation's keys:
  introspection.age, gateway.age   identities that open secrets; give each service its own
  recovery.age                     opens everything; keep it offline
  *.pub, fingerprint.key           for config
  nats/<service>.nk                NKey seeds (GATEHOUSE_NATS_SEED_FILE of each service)
  nats/users.conf                  the services' users and rights, to include in nats-server.conf
  nats/routes.conf                 what lets the NATS servers of a cluster join each other, to include in its cluster block
What is there stays as it is; users.conf is written anew.
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 3 || args[0] != "keys" || args[1] != "init" {
		_, _ = fmt.Fprint(os.Stderr, usage)
		return 2
	}
	if err := initKeys(args[2]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gatehousectl:", err)
		return 1
	}
	return 0
}

func initKeys(dir string) error {
	if err := secret.Init(dir); err != nil {
		return err
	}
	public, err := bus.InitSeeds(dir)
	if err != nil {
		return err
	}
	if err := bus.InitRoutes(dir, []string{"route-1:6222", "route-2:6222", "route-3:6222"}); err != nil { // of docker-compose.yml
		return err
	}
	return os.WriteFile(filepath.Join(dir, "nats", "users.conf"), []byte(topology.ServerConf(public)), 0o600) //nolint:gosec // the folder is the one that was asked for
}
