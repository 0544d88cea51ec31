package spool

import (
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
)

// BenchmarkRecord is what recording a call costs that is forwarded: its decision and its end, in processor time of the
// whole process.
func BenchmarkRecord(b *testing.B) {
	s, err := Open(b.TempDir(), Options{Gateway: "gw-0a1b2c3d", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r := &auditv1.Record{
		Time: uint64(time.Now().UnixNano()), RequestId: "0af7651916cd43dd8448eb211c80319c", Site: "jira", Node: "n1", ConfigVersion: 7,
		Credential: "oauth", Provider: "corp", ClientId: "ci-bot", CredentialFingerprint: "0123456789abcdef", User: "svc-api",
		Decision: "allow", Reason: "allowed", Outcome: "completed", Method: "GET", Path: "/rest/api/2/issue/ABC-123", Query: "expand=changelog",
		Status: 200, BytesOut: 4096, Duration: 3e6, UpstreamDuration: 2e6, ClientIp: "192.0.2.7", ClientIpSource: "peer", UserAgent: "ci-bot/1.0",
		Access: "READ",
	}
	cpu := processor()
	b.ReportAllocs()
	for b.Loop() {
		var c Call
		if err := s.Begin(&c, r); err != nil {
			b.Fatal(err)
		}
		if err := s.End(&c, r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processor()-cpu)/float64(b.N)/1e3, "cpu-µs/call")
	b.ReportMetric(float64(s.Size())/float64(b.N), "disk-B/call")
}

// processor gives the processor time this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage: ", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
