package audit

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
)

// cleanRecord makes every text of a record fit for Postgres, whatever a client sent, and tells whether that
// changed anything: U+0000, which Postgres cannot store, becomes U+2400 (␀), a byte that is no UTF-8 becomes U+FFFD
// (�), and what is longer than its limit in bytes is cut at a character and ends with U+2026 (…). An address that is
// none is moved to the detail.
func cleanRecord(r *auditv1.Record) (changed bool) {
	if r.GetClientIp() != "" {
		if addr, err := netip.ParseAddr(r.GetClientIp()); err == nil {
			r.ClientIp = addr.Unmap().WithZone("").String()
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
	} {
		if clean, ok := cleanText(*f.text, f.max); !ok {
			*f.text, changed = clean, true
		}
	}
	return changed
}

const ellipsis = "…"

// cleanText gives a text that Postgres can store in at most limit bytes, and whether it was one already.
func cleanText(text string, limit int) (clean string, same bool) {
	if len(text) <= limit && strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return text, true
	}
	// What cannot be part of the result is not looked at: a text may be a megabyte.
	if len(text) > limit {
		text = text[:limit+1]
	}
	text = strings.ReplaceAll(eachInvalid(text), "\x00", "␀")
	if len(text) <= limit {
		return text, false
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis, false
}

// eachInvalid replaces every byte that is no UTF-8, not every run of them as strings.ToValidUTF8 does.
func eachInvalid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}

// small gives a number as Postgres stores it. What does not fit is nonsense, and becomes the largest that does.
func small(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
