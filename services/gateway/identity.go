package gateway

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/netip"
	"sync"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/maypok86/otter/v2"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"
)

// cacheKey is a keyed hash of a credential and where it is used; the credential itself is never kept.
type cacheKey [sha256.Size]byte

// identity is what is known of a credential: facts, judged anew on every call.
type identity struct {
	answeredAt time.Time // by the provider or the product, on this gateway's monotonic clock
	heardAt    time.Time // from introspection
	// fingerprint is what the audit trail shows of the credential.
	fingerprint string
	token       *identityv1.IntrospectReply
	whoami      *identityv1.WhoAmIReply
	expiresAt   time.Time // of a token; zero: it did not say
	notBefore   time.Time
	renewal     renewal.Mark
}

// good tells whether the answer lets the caller in, before any rule: it goes to the larger cache.
func (i *identity) good() bool {
	return i.token.GetActive() || i.whoami.GetVerdict() == identityv1.WhoAmIReply_VERDICT_KNOWN
}

// asking asks introspection. The error is a fault.
type asking func(ctx context.Context, subject string, request, reply proto.Message) error

// over asks over NATS.
func over(nc *nats.Conn) asking {
	return func(ctx context.Context, subject string, request, reply proto.Message) error {
		return ask.Do(ctx, nc, subject, request, reply)
	}
}

// identities asks introspection who a credential belongs to and remembers the answer: good ones and others in
// separate bounded caches, so that guesses cannot push out what is in use.
type identities struct {
	asks    asking
	timeout time.Duration
	macs    sync.Pool // of hash.Hash, keyed for this process
	trail   []byte    // key of fingerprints
	known   *otter.Cache[cacheKey, *identity]
	unknown *otter.Cache[cacheKey, *identity]
	flights singleflight.Group
	guesses *guesses // nil: not bound
	asked   func(result string)
}

// newIdentities makes the cache. installation is a secret that all gateways have.
func newIdentities(asks asking, s Settings, installation string, asked func(string)) (*identities, error) {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // never fails
	trail, err := hkdf.Key(sha256.New, []byte(installation), nil, "gatehouse audit fingerprint", sha256.Size)
	if err != nil {
		return nil, err
	}
	bound, err := newGuesses(s.UnknownBurst, s.UnknownPerSecond)
	if err != nil {
		return nil, err
	}
	ids := &identities{guesses: bound, asks: asks, timeout: s.IdentityTimeout, asked: asked, trail: trail}
	ids.macs.New = func() any { return hmac.New(sha256.New, secret) }
	if ids.known, err = otter.New(&otter.Options[cacheKey, *identity]{MaximumSize: s.IdentityCache}); err != nil {
		return nil, err
	}
	ids.unknown, err = otter.New(&otter.Options[cacheKey, *identity]{MaximumSize: max(s.IdentityCache/10, 100)})
	return ids, err
}

// key hashes a credential under the process's key. salt has 64 hex digits and what is one byte, so no two
// credentials, or two uses of one, hash the same bytes.
func (ids *identities) key(salt string, what byte, value string) cacheKey {
	mac, _ := ids.macs.Get().(hash.Hash)
	mac.Reset()
	var buf [256]byte
	head := append(append(buf[:0], salt...), what)
	if len(value) <= cap(buf)-len(head) {
		_, _ = mac.Write(append(head, value...))
	} else {
		_, _ = mac.Write(head)
		_, _ = mac.Write([]byte(value))
	}
	var k cacheKey
	mac.Sum(k[:0])
	ids.macs.Put(mac)
	return k
}

// fingerprint gives what the audit trail shows of a credential: 16 hex digits that are the same at every gateway of the
// installation and after a restart, and say nothing to who does not have its key.
func (ids *identities) fingerprint(what byte, value string) string {
	mac := hmac.New(sha256.New, ids.trail)
	_, _ = mac.Write([]byte{what})
	_, _ = mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// cached gives what is remembered of a credential and may still be used.
func (ids *identities) cached(k cacheKey, fresh func(*identity) bool) *identity {
	if id, ok := ids.known.GetIfPresent(k); ok && fresh(id) {
		return id
	}
	if id, ok := ids.unknown.GetIfPresent(k); ok && fresh(id) {
		return id
	}
	return nil
}

// forget drops what is remembered of a credential.
func (ids *identities) forget(k cacheKey) {
	ids.known.Invalidate(k)
	ids.unknown.Invalidate(k)
}

// refuse remembers that the product no longer takes a credential.
func (ids *identities) refuse(k cacheKey, fingerprint string) {
	ids.known.Invalidate(k)
	ids.unknown.Set(k, &identity{
		answeredAt: time.Now(), fingerprint: fingerprint, whoami: &identityv1.WhoAmIReply{Verdict: identityv1.WhoAmIReply_VERDICT_REFUSED},
	})
}

// question is what introspection is asked about a credential.
type question struct {
	key            cacheKey
	fingerprint    string
	from           *netip.Prefix // who guesses; nil: it is no guess
	subject        string
	request, reply proto.Message
}

// ask asks introspection, and waits for the answer. A caller whose ctx ends leaves; the question goes on for the others. The
// error is a fault, or *tooMany.
func (ids *identities) ask(ctx context.Context, q question) (*identity, error) {
	select {
	case result := <-ids.start(ctx, q):
		if result.Err != nil {
			return nil, result.Err
		}
		id, _ := result.Val.(*identity)
		return id, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// start asks once for all calls that want to know the same now.
func (ids *identities) start(ctx context.Context, q question) <-chan singleflight.Result {
	k := q.key
	return ids.flights.DoChan(string(k[:]), func() (any, error) {
		last, was := ids.known.GetIfPresent(k)
		_, heard := ids.unknown.GetIfPresent(k)
		guess := q.from != nil && !was && !heard // who asks about the same again has not guessed again
		if guess {
			if wait := ids.guesses.wait(*q.from, time.Now()); wait > 0 {
				ids.asked("too_many")
				return nil, &tooMany{wait}
			}
		}
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), ids.timeout)
		defer cancel()
		asked := time.Now()
		if err := ids.asks(shared, q.subject, q.request, q.reply); err != nil {
			ids.asked("failed")
			return nil, err
		}
		id := newIdentity(q.reply, asked) // its age may have grown on the way
		if id.fingerprint = q.fingerprint; was {
			id.renewal.From(&last.renewal)
		}
		if id.good() {
			ids.asked("known")
			ids.unknown.Invalidate(k)
			ids.known.Set(k, id)
		} else {
			ids.asked("unknown")
			if guess {
				ids.guesses.missed(*q.from, asked)
			}
			ids.known.Invalidate(k)
			ids.unknown.Set(k, id)
		}
		return id, nil
	})
}

// tooMany is a question that is not asked, because its caller has guessed too often.
type tooMany struct{ wait time.Duration }

// Error says so.
func (e *tooMany) Error() string {
	return "too many unknown credentials came from the caller's address"
}

func newIdentity(reply proto.Message, now time.Time) *identity {
	switch m := reply.(type) {
	case *identityv1.IntrospectReply:
		id := &identity{token: m, answeredAt: now.Add(-m.GetAge().AsDuration()), heardAt: now}
		if m.GetExpiresAt() != nil {
			id.expiresAt = m.GetExpiresAt().AsTime()
		}
		if m.GetNotBefore() != nil {
			id.notBefore = m.GetNotBefore().AsTime()
		}
		return id
	case *identityv1.WhoAmIReply:
		return &identity{whoami: m, answeredAt: now.Add(-m.GetAge().AsDuration())}
	default:
		return &identity{answeredAt: now}
	}
}
