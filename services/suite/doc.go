// Package suite is all five services in one process, on an embedded NATS server and a Postgres of its own:
// development, tests, and the single-node edition. The services still talk NATS, with the same rights, so it
// is production minus TCP.
//
// Everything it keeps is below GATEHOUSE_DATA_DIR: admin-token, keys/, nats/, postgres/, gateway/. It starts
// from the bottom (NATS, Postgres, services, lab) and ends from the top, so that the gateway's last records
// reach the stream, and what the stream holds reaches Postgres now or at the next start.
//
// # When something is gone
//
//	data folder in use   refused: the other process is named
//	a port in use        refused: the variable that sets it is named
//	no Postgres programs refused: what to install is named
//	Postgres dies        started again by its keeper; audit waits meanwhile
//	a service ends       the suite ends with its error, in order
//	kill -9              the next start adopts a Postgres that still runs, and goes on from what is on disk
package suite
