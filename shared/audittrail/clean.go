package audittrail

import (
	"encoding/json"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
)

// MaxGroups is how many groups a record keeps.
const MaxGroups = 64

// MaxChange bounds the change of a record, in bytes: a batch must fit into a NATS message.
const MaxChange = 256 << 10

// Clean makes a record fit for the trail, whatever a client sent, and tells whether that changed anything. Every
// text becomes what Postgres can store: U+0000 becomes U+2400 (␀), a byte that is no UTF-8 becomes U+FFFD (�), and
// what is longer than its limit in bytes is cut at a character and ends with U+2026 (…). An address that is none is
// moved to the detail. Times become whole microseconds, and numbers such as Postgres has. A change that is too long
// is left out: half a JSON is none.
func Clean(r *auditv1.Record) (changed bool) {
	if r.GetClientIp() != "" {
		if addr, err := netip.ParseAddr(r.GetClientIp()); err == nil {
			if addr.Is4In6() || addr.Zone() != "" {
				r.ClientIp = addr.Unmap().WithZone("").String()
			}
		} else {
			r.Detail = strings.TrimSpace(r.GetDetail() + " client_ip=" + strconv.Quote(r.GetClientIp()))
			r.ClientIp, changed = "", true
		}
	}
	for _, f := range [...]struct {
		text *string
		max  int
	}{
		{&r.RequestId, 128},
		{&r.Site, 64},
		{&r.Node, 64},
		{&r.Credential, 32},
		{&r.Provider, 64},
		{&r.ClientId, 256},
		{&r.CredentialFingerprint, 128},
		{&r.User, 256},
		{&r.Decision, 32},
		{&r.Reason, 64},
		{&r.Detail, 1024},
		{&r.Observed, 64},
		{&r.Outcome, 32},
		{&r.Method, 64},
		{&r.Path, 4096},
		{&r.Query, 4096},
		{&r.UserAgent, 512},
		{&r.TraceId, 64},
		{&r.Access, 16},
		{&r.ClientIpSource, 64},
		{&r.Kind, 64},
		{&r.TokenId, 64},
	} {
		if clean, ok := Text(*f.text, f.max); !ok {
			*f.text, changed = clean, true
		}
	}
	if len(r.GetGroups()) > MaxGroups {
		r.Groups, changed = r.GetGroups()[:MaxGroups], true
	}
	for i, g := range r.GetGroups() {
		if clean, ok := Text(g, 256); !ok {
			r.Groups[i], changed = clean, true
		}
	}
	if c := r.GetChange(); c != "" && (len(c) > MaxChange || !utf8.ValidString(c) || !json.Valid([]byte(c))) {
		r.Change, changed = `{"left_out":"too long, or no JSON"}`, true
	}
	r.Time = uint64(time.Duration(min(r.GetTime(), math.MaxInt64)).Truncate(time.Microsecond)) //nolint:gosec // just bounded
	for _, n := range [...]*uint64{&r.ConfigVersion, &r.BytesIn, &r.BytesOut, &r.Duration, &r.UpstreamDuration, &r.Opened} {
		*n = min(*n, math.MaxInt64)
	}
	r.Status = min(r.GetStatus(), math.MaxInt32)
	return changed
}

const ellipsis = "…"

// Text gives a text that Postgres can store in at most limit bytes, and whether it was one already.
func Text(text string, limit int) (clean string, same bool) {
	if len(text) <= limit && strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return text, true
	}
	// What cannot be part of the result is not looked at: a text may be a megabyte.
	if len(text) > limit {
		text = text[:limit+1]
	}
	text = strings.ReplaceAll(EachInvalid(text), "\x00", "␀")
	if len(text) <= limit {
		return text, false
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis, false
}

// EachInvalid replaces every byte that is no UTF-8 by U+FFFD, not every run of them as strings.ToValidUTF8 does.
func EachInvalid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
