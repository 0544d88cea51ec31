package topology

import "github.com/gatehouse-suite/gatehouse/shared/ask"

// Service names a service as NATS knows it.
type Service string

// The services, each with its own user.
const (
	Config        Service = "config"
	Introspection Service = "introspection"
	Gateway       Service = "gateway"
	RateLimit     Service = "ratelimit"
	Audit         Service = "audit"
)

// Services gives all of them.
func Services() []Service { return []Service{Config, Introspection, Gateway, RateLimit, Audit} }

// Inbox is the prefix of the replies a service waits for, so that nobody can read another's.
func Inbox(s Service) string { return "_INBOX_" + string(s) }

// Rights are the subjects a service may publish and subscribe; everything else is refused by the server.
type Rights struct {
	Publish   []string
	Subscribe []string
	// Answers lets it publish once, within AnswerWithin, to the reply subject of a request that the server has
	// delivered to it. The reply subjects of a client can be guessed by whoever has seen some, so a right to publish to
	// inboxes would be a right to forge the answers of others.
	Answers bool
}

// AnswerWithin is how long an answer is let through: as long as anybody waits for one.
const AnswerWithin = ask.Longest

// RightsOf gives what a service may do. None of the lists is ever empty: to a NATS server that would mean
// everything.
func RightsOf(s Service) Rights {
	r := Rights{Subscribe: []string{Inbox(s) + ".>"}}
	switch s {
	case Config:
		r.Publish = append(r.Publish, ConfigLog().Subject, "$KV."+BucketSecrets+".>")
		r.Publish = append(r.Publish, ensureStreams()...)
		r.Publish = append(r.Publish, readStream(StreamConfig)...)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
		r.Publish = append(r.Publish, readStream("KV_"+BucketGateways)...)
		r.Subscribe = append(r.Subscribe, ConfigLog().Live, GatewayBeat("*"), ConfigReadLog)
		r = answers(r)
	case Introspection:
		r = readsConfig(r)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
		r.Subscribe = append(r.Subscribe, Introspect, WhoAmI)
		r = answers(r)
	case Gateway:
		r = readsConfig(r)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
		r.Publish = append(r.Publish, AuditIn("*"), GatewayBeat("*"), "$KV."+BucketGateways+".>", Introspect, WhoAmI, Reserve,
			"$JS.API.STREAM.INFO.KV_"+BucketGateways)
		r.Subscribe = append(r.Subscribe, AuditCommitted+".*")
	case RateLimit: // a request brings the limit, so it reads no configuration
		r.Publish = append(r.Publish, "rate.t.>", "$JS.API.STREAM.INFO."+StreamRate)
		r.Subscribe = append(r.Subscribe, Reserve)
		r = answers(r)
	case Audit:
		r = readsConfig(r)
		r.Publish = append(r.Publish, AuditCommitted+".*", "$JS.API.STREAM.PURGE."+StreamAudit)
		r.Publish = append(r.Publish, readStream(StreamAudit)...)
	}
	return r
}

// readsConfig is what every follower of the configuration log needs.
func readsConfig(r Rights) Rights {
	r.Publish = append(r.Publish, readStream(StreamConfig)...)
	r.Publish = append(r.Publish, ConfigReadLog)
	r.Subscribe = append(r.Subscribe, ConfigLog().Live)
	return r
}

// answers is what a service needs to reply to requests of the others and to be found by them.
func answers(r Rights) Rights {
	r.Answers = true
	r.Subscribe = append(r.Subscribe, "$SRV.>")
	return r
}

// readStream is reading a stream by sequence and asking how it is, and nothing else.
func readStream(name string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + name,
		"$JS.API.STREAM.MSG.GET." + name,
		"$JS.API.DIRECT.GET." + name,
		"$JS.API.DIRECT.GET." + name + ".>",
	}
}

// ensureStreams is what Ensure needs.
func ensureStreams() []string {
	rights := []string{"$JS.API.INFO"}
	for _, s := range Streams(Limits{}) {
		rights = append(rights, streamAdmin(s.Name)...)
	}
	for _, b := range Buckets(Limits{}) {
		rights = append(rights, streamAdmin("KV_"+b.Bucket)...)
	}
	return rights
}

func streamAdmin(name string) []string {
	return []string{"$JS.API.STREAM.CREATE." + name, "$JS.API.STREAM.UPDATE." + name, "$JS.API.STREAM.INFO." + name}
}
