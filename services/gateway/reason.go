package gateway

import "net/http"

// reason is the stable code of an answer: the same in the reply, the audit record, the metrics and the console.
type reason string

// The reasons of the policy, in its order.
const (
	// methodNotAllowed: see plainMethod.
	methodNotAllowed reason = "method_not_allowed"

	pathAmbiguous    reason = "path_ambiguous"
	siteUnknown      reason = "site_unknown"
	ownPath          reason = "own"
	notAPI           reason = "not_api"
	disabled         reason = "disabled"
	ipDenied         reason = "ip_denied"
	bypassed         reason = "bypassed"
	browser          reason = "browser"
	authRequired     reason = "authentication_required"
	anonymous        reason = "anonymous"
	malformed        reason = "credential_malformed"
	unsupported      reason = "scheme_unsupported"
	link             reason = "link"
	basicDisabled    reason = "basic_disabled"
	oauthDisabled    reason = "oauth_disabled"
	patDisabled      reason = "pat_disabled"
	tokensDisabled   reason = "api_tokens_disabled" //nolint:gosec // a reason, no credential
	linksDisabled    reason = "links_disabled"
	tokenInactive    reason = "token_inactive"
	refused          reason = "credential_refused"
	captcha          reason = "captcha_required"
	tooManyUnknown   reason = "too_many_unknown"
	scopeMissing     reason = "scope_missing"
	audienceWrong    reason = "audience_wrong"
	providerAway     reason = "provider_unavailable"
	notClientToken   reason = "not_a_client_token"
	userUnknown      reason = "user_unknown"
	noAccount        reason = "no_upstream_account"
	pathNotForTokens reason = "path_not_for_tokens"
	groupDenied      reason = "group_denied"
	readOnly         reason = "read_only"
	directoryAway    reason = "directory_unavailable"
	auditAway        reason = "audit_unavailable"
	mismatch         reason = "upstream_identity_mismatch"
	unreachable      reason = "upstream_unreachable"
	timedOut         reason = "upstream_timeout"
	bodyMalformed    reason = "body_malformed"
	allowed          reason = "allowed"
	// allowedStale: by the last word of a provider that is away.
	allowedStale reason = "allowed_stale"
	// clientLeft: nobody waited for the answer; it is in the audit trail only.
	clientLeft reason = "client_gone"
	// noConfiguration and staleConfiguration: this gateway was never told what to do, or not for too long.
	noConfiguration    reason = "configuration_unavailable"
	staleConfiguration reason = "configuration_stale"
)

// text gives status and message of a refusal.
func (r reason) text() (status int, message string) {
	if status, message := r.whoText(); status != 0 {
		return status, message
	}
	switch r {
	case methodNotAllowed:
		return http.StatusMethodNotAllowed, "This method is not for calls of a product."
	case pathAmbiguous:
		return http.StatusBadRequest, "The path can be read in more than one way."
	case siteUnknown:
		return http.StatusNotFound, "No site answers at this host and path."
	case ownPath:
		return http.StatusNotFound, "Gatehouse has nothing at this path."
	case ipDenied:
		return http.StatusForbidden, "Calls from this address are not allowed."
	case auditAway:
		return http.StatusServiceUnavailable, "The call cannot be recorded at the moment."
	case mismatch:
		return http.StatusBadGateway, "The product did not take the call as the user it was meant for."
	case unreachable:
		return http.StatusBadGateway, "No node of the product can be reached."
	case bodyMalformed:
		return http.StatusBadRequest, "The body of the request is malformed or ended early."
	case timedOut:
		return http.StatusGatewayTimeout, "The product did not answer in time."
	case noConfiguration:
		return http.StatusServiceUnavailable, "The gateway has no configuration yet."
	case staleConfiguration:
		return http.StatusServiceUnavailable, "The gateway has not heard of its configuration for too long."
	default:
		return http.StatusInternalServerError, "The call could not be judged."
	}
}

// whoText is text for the refusals of rows 8 to 12, which are about who calls.
func (r reason) whoText() (status int, message string) {
	switch r {
	case authRequired:
		return http.StatusUnauthorized, "This API is not open to everybody: authenticate."
	case pathNotForTokens:
		return http.StatusForbidden, "This path is not open to tokens."
	case malformed:
		return http.StatusBadRequest, "The credential is malformed, or there are several."
	case unsupported:
		return http.StatusUnauthorized, "This authentication scheme is not supported."
	case basicDisabled:
		return http.StatusUnauthorized, "Basic authentication is disabled."
	case oauthDisabled:
		return http.StatusUnauthorized, "OAuth 2.0 tokens are disabled."
	case patDisabled:
		return http.StatusUnauthorized, "Personal access tokens are disabled."
	case tokensDisabled:
		return http.StatusUnauthorized, "API tokens are disabled."
	case linksDisabled:
		return http.StatusUnauthorized, "Application links are disabled."
	case tokenInactive:
		return http.StatusUnauthorized, "The token is not active."
	case refused:
		return http.StatusUnauthorized, "The product does not take this credential."
	case captcha:
		return http.StatusForbidden, "The product asks this user to solve a CAPTCHA in the browser first."
	case tooManyUnknown:
		return http.StatusTooManyRequests, "Too many unknown credentials came from this address lately."
	case scopeMissing:
		return http.StatusForbidden, "The token lacks a required scope."
	case audienceWrong:
		return http.StatusForbidden, "The token was issued for another audience."
	case notClientToken:
		return http.StatusForbidden, "The token was issued to a person, not to a client."
	case userUnknown:
		return http.StatusForbidden, "The product has no active user of this name."
	case noAccount:
		return http.StatusForbidden, "No account of the product is assigned to this caller."
	case groupDenied:
		return http.StatusForbidden, "None of this user's groups may call the API."
	case readOnly:
		return http.StatusForbidden, "This user, or this token, may only read."
	case directoryAway:
		return http.StatusServiceUnavailable, "The groups of this user cannot be looked up at the moment."
	case providerAway:
		return http.StatusServiceUnavailable, "The credential cannot be verified at the moment."
	default:
		return 0, ""
	}
}
