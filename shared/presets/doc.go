// Package presets is what Gatehouse knows of identity providers, as data: for each kind how its tokens are judged, what an
// admin fills in, how a reply or a signed token is read, which tokens it can have issued at all, and what revoking one means
// there. The document's checks, the introspection service, the gateway and docs/reference/providers.md all read this.
//
// A kind that is not here is configured as custom.
package presets
