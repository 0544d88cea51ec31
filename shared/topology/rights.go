package topology

import (
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/ask"
)

// Service names a user of NATS: a service, one of the gateways, or the operator.
type Service string

// The services, each with its own user. Gateway is the kind: every gateway has a user of its own, see GatewayUser. As
// a user, Gateway may do what any of them may; tests stand in for several so, and no key is made for it.
const (
	Config        Service = "config"
	Introspection Service = "introspection"
	Gateway       Service = "gateway"
	RateLimit     Service = "ratelimit"
	Audit         Service = "audit"
	// Operator is a person: with its key streams are looked at, backed up, moved and deleted. No service loads it.
	Operator Service = "operator"
)

// Services gives all of them.
func Services() []Service { return []Service{Config, Introspection, Gateway, RateLimit, Audit} }

// GatewayUser names the user of one gateway, which may speak for itself alone.
func GatewayUser(id string) Service { return Gateway + "." + Service(id) }

// GatewayID gives the id of the gateway that a user is, if it is one. An id is a token of subjects, and none of those
// that are Reserved.
func GatewayID(s Service) (id string, ok bool) {
	id, ok = strings.CutPrefix(string(s), string(Gateway)+".")
	return id, ok && regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(id) && !Reserved(id)
}

// Reserved tells whether a name stands in the audit trail where a gateway's id does, so that no gateway may have it.
func Reserved(name string) bool {
	return name == AuditFromLog || name == AuditFromTokenLog || name == AuditFromConfig || name == AuditFromAudit
}

// Users gives those of some users that have rights, in an order that stays.
func Users(public map[Service]string) []Service {
	var users []Service
	for s, key := range public {
		if key != "" && len(RightsOf(s).Publish) > 0 { // to a NATS server an empty list would mean everything
			users = append(users, s)
		}
	}
	slices.Sort(users)
	return users
}

// Inbox is the prefix of the replies a user waits for, so that nobody can read another's.
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

// RightsOf gives what a user may do. None of the lists is empty for one that exists: to a NATS server that would mean
// everything.
func RightsOf(s Service) Rights {
	r := Rights{Subscribe: []string{Inbox(s) + ".>"}}
	switch s {
	case Config:
		r.Publish = append(r.Publish, ConfigLog().Subject, TokenLog().Subject, "$KV."+BucketSecrets+".>", AuditIn(AuditFromConfig), CallTrial, Draft)
		r.Publish = append(r.Publish, ensureStreams()...)
		r.Publish = append(r.Publish, readStream(StreamConfig)...)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
		r.Publish = append(r.Publish, readStream("KV_"+BucketGateways)...)
		r.Subscribe = append(r.Subscribe, ConfigLog().Live, GatewayBeat("*"), ConfigReadLog)
		r = readsTokens(r)
		r = answers(r)
	case Introspection:
		r = readsConfig(r)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
		r.Subscribe = append(r.Subscribe, Introspect, WhoAmI, Groups, Authorize, Exchange, Trial, Draft)
		r = answers(r)
	case Gateway:
		r = gateway(r, "*")
	case RateLimit: // a request brings the limit, so it reads no configuration
		r.Publish = append(r.Publish, "rate.t.>", "$JS.API.STREAM.INFO."+StreamRate)
		r.Subscribe = append(r.Subscribe, Reserve)
		r = answers(r)
	case Audit:
		r = readsTokens(readsConfig(r))
		r.Publish = append(r.Publish, AuditCommitted+".*", "$JS.API.STREAM.PURGE."+StreamAudit, AuditIn(AuditFromAudit), AuditIn(AuditFromLog), AuditIn(AuditFromTokenLog))
		r.Publish = append(r.Publish, readStream(StreamAudit)...)
		r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...) // to copy them: it has no key that opens one
	case Operator:
		r.Publish = append(r.Publish, "$JS.API.>", "$JS.SNAPSHOT.>", "$SRV.>")
		r.Subscribe = append(r.Subscribe, "$JS.EVENT.ADVISORY.>")
	default:
		if id, ok := GatewayID(s); ok {
			r = gateway(r, id)
		}
	}
	return r
}

// gateway is what a gateway needs; id is its own.
func gateway(r Rights, id string) Rights {
	r = readsTokens(readsConfig(r))
	r.Publish = append(r.Publish, readStream("KV_"+BucketSecrets)...)
	r.Publish = append(r.Publish, AuditIn(id), GatewayBeat(id), "$KV."+BucketGateways+"."+id, Introspect, WhoAmI, Groups, Authorize, Exchange, Trial, Reserve,
		"$JS.API.STREAM.INFO.KV_"+BucketGateways)
	r.Subscribe = append(r.Subscribe, AuditCommitted+"."+id, CallTrial+" "+QueueGateway) // in its turn: who listened beside would see what others are asked
	return answers(r)
}

// readsConfig is what every follower of the configuration log needs.
func readsConfig(r Rights) Rights {
	r.Publish = append(r.Publish, readStream(StreamConfig)...)
	r.Publish = append(r.Publish, ConfigReadLog)
	r.Subscribe = append(r.Subscribe, ConfigLog().Live)
	return r
}

// readsTokens is what a follower of the token log needs.
func readsTokens(r Rights) Rights {
	r.Publish = append(r.Publish, readStream(StreamTokens)...)
	r.Subscribe = append(r.Subscribe, TokenLog().Live)
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
