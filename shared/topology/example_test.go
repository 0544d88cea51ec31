package topology_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

func Example() {
	fmt.Println(topology.ConfigLog().Subject, topology.AuditIn("eu-1"), topology.GatewayBeat("eu-1"))
	fmt.Println(topology.RateCounter("c0ffee", time.Minute, 7))
	fmt.Println(topology.RightsOf(topology.Gateway).Subscribe)
	// Output:
	// log.config audit.in.eu-1 gateways.v1.beat.eu-1
	// rate.t.c0ffee.60.7
	// [_INBOX_gateway.> live.config live.tokens audit.committed.* gateway.v1.trial gateway $SRV.>]
}

func ExampleServerConf() {
	conf := topology.ServerConf(map[topology.Service]string{topology.Audit: "UAUDIT"})
	fmt.Println(strings.Contains(conf, "nkey: UAUDIT"), strings.Count(conf, "nkey:"))
	// Output: true 1
}
