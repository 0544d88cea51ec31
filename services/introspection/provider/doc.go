// Package provider is identity providers: how one is asked about tokens, and how it issues some to Gatehouse.
//
// An Endpoint is one provider as a site trusts it, with its validator: RFC 7662 (rfc7662.go), its published keys (jwt.go, with
// what it publishes in discovery.go and jwks.go, kept by kept.go), both, Google's tokeninfo or GitHub's check, and userinfo where
// those name nobody. Whatever it says becomes Facts (reply.go): normalised, and never a verdict. A Client is Gatehouse where the
// provider issues tokens: sign-in and client credentials, by golang.org/x/oauth2.
//
// Nothing is cached here but what providers publish; who asks and remembers is the service.
package provider
