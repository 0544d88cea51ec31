package provider

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/google/go-cmp/cmp"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func customReading(claim string) reading {
	custom, _ := presets.Of("custom")
	return reading{Reading: custom.Reading, usernameClaim: claim}
}

func TestRealReplies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body  string
		claim string
		want  Facts
	}{
		"RFC 7662 §2.2": {
			body: `{"active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe", "scope": "read write dolphin", "sub": "Z5O3upPC88QrAjx00dis",
				"aud": "https://protected.example.net/resource", "iss": "https://server.example.com/", "exp": 1419356238, "iat": 1419350238, "extension_field": "twenty-seven"}`,
			want: Facts{
				ClientID: "l238j323ds-23ij4", Username: "jdoe", Person: true, Subject: "Z5O3upPC88QrAjx00dis", Issuer: "https://server.example.com/",
				Scopes: []string{"read", "write", "dolphin"}, Audience: []string{"https://protected.example.net/resource"}, ExpiresAt: at(1419356238), IssuedAt: at(1419350238),
			},
		},
		"Keycloak": {
			body: `{"exp":1700000300,"iat":1700000000,"jti":"x","iss":"https://kc/realms/r","aud":["account","jira"],"sub":"f:1","typ":"Bearer","azp":"ci","realm_access":{"roles":["a"]},"scope":"email profile","preferred_username":"service-account-ci","client_id":"ci","username":"service-account-ci","token_type":"Bearer","active":true}`,
			want: Facts{ClientID: "ci", Username: "service-account-ci", Subject: "f:1", Issuer: "https://kc/realms/r", TokenType: "Bearer", Scopes: []string{"email", "profile"}, Audience: []string{"account", "jira"}, ExpiresAt: at(1700000300), IssuedAt: at(1700000000)},
		},
		"Okta":                         {body: `{"active":true,"scope":"a","client_id":"0oa","uid":"00u","token_type":"Bearer","device_id":null,"nbf":1}`, want: Facts{ClientID: "0oa", Scopes: []string{"a"}, TokenType: "Bearer", NotBefore: at(1)}},
		"Hydra access":                 {body: `{"active":true,"token_type":"Bearer","token_use":"access_token","aud":null,"ext":{}}`, want: Facts{TokenType: "Bearer"}},
		"Hydra refresh":                {body: `{"active":true,"token_type":"Bearer","token_use":"refresh_token"}`, want: Facts{TokenType: "refresh_token"}},
		"lightweight Keycloak refresh": {body: `{"active":true,"typ":"Refresh"}`, want: Facts{TokenType: "Refresh"}},
		"expires_in":                   {body: `{"active":true,"expires_in":"300"}`, want: Facts{ExpiresAt: at(1700000300)}},
		"expires_in beside exp":        {body: `{"active":true,"expires_in":300,"exp":5}`, want: Facts{ExpiresAt: at(5)}},
		"a negative expires_in":        {body: `{"active":true,"expires_in":-1}`, want: Facts{ExpiresAt: at(0)}},
		"expires_in zero":              {body: `{"active":true,"expires_in":0}`, want: Facts{ExpiresAt: at(0)}},
		"a huge expires_in":            {body: `{"active":true,"expires_in":1e300}`, want: Facts{ExpiresAt: at(latest)}},
		"times in quotes":              {body: `{"active":true,"exp":"1700000300","iat":"1.7e9","nbf":1700000000.9}`, want: Facts{ExpiresAt: at(1700000300), IssuedAt: at(1700000000), NotBefore: at(1700000000)}},
		"times out of range":           {body: `{"active":true,"exp":1e300,"iat":-5,"nbf":"-1e999"}`, want: Facts{ExpiresAt: at(latest), IssuedAt: at(0), NotBefore: at(0)}},
		"exp too large for a double":   {body: `{"active":true,"exp":1e999}`, want: Facts{ExpiresAt: at(latest)}},
		"exp zero is 1970, not never":  {body: `{"active":true,"exp":0}`, want: Facts{ExpiresAt: at(0)}},
		"exp null is not said":         {body: `{"active":true,"exp":null}`},
		"scope as a list":              {body: `{"active":true,"scope":["read","write admin","read",""]}`, want: Facts{Scopes: []string{"read", "write", "admin"}}},
		"scp":                          {body: `{"active":true,"scp":["read"]}`, want: Facts{Scopes: []string{"read"}}},
		"scope and scp":                {body: `{"active":true,"scp":["read","admin"],"scope":"read write"}`, want: Facts{Scopes: []string{"read", "write", "admin"}}},
		"scope cut at spaces only":     {body: `{"active":true,"scope":"read\u00a0admin  write"}`, want: Facts{Scopes: []string{"read\u00a0admin", "write"}}},
		"empty scope":                  {body: `{"active":true,"scope":"","aud":[]}`},
		"azp for client_id":            {body: `{"active":true,"client_id":"","azp":"ci"}`, want: Facts{ClientID: "ci"}},
		"numbers for names":            {body: `{"active":true,"client_id":12,"sub":9007199254740993,"username":-3}`, want: Facts{ClientID: "12", Subject: "9007199254740993", Username: "-3", Person: true}},
		"a BOM":                        {body: "\xef\xbb\xbf" + `{"active":true}`},
		"the mapped user":              {body: `{"active":true,"email":"a@b"}`, claim: "email", want: Facts{MappedUser: "a@b"}},
		"a mapped user that is a list": {body: `{"active":true,"groups":["a"]}`, claim: "groups"},
		"a claim not named":            {body: `{"active":true,"email":"a@b"}`},
		"inner members do not count":   {body: `{"active":true,"ext":{"active":false,"username":"x","exp":"z"},"ext":1}`},
	} {
		c.want.Active = true
		got, err := parseReply([]byte(c.body), customReading(c.claim), at(1700000000))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Facts{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestTheUserIsAPartOfAClaim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ regex, value, want string }{
		{`^CORP\\(.+)$`, `CORP\alice`, "alice"},
		{`^CORP\\(.+)$`, `OTHER\alice`, ""},
		{`^[^@]+`, "bob@example.com", "bob"},
		{`^(.+)@example\.com$`, "carol@example.com", "carol"},
		{`^(.+)@example\.com$`, "carol@example.com.evil", ""},
		{`^(.*)$`, "", ""},
		{`^(?:x)?(y)?`, "x", ""},
	} {
		how := customReading("email")
		how.usernameIs = regexp.MustCompile(c.regex)
		text, _ := json.Marshal(map[string]any{"active": true, "email": c.value})
		if f, err := parseReply(text, how, time.Now()); err != nil || f.MappedUser != c.want {
			t.Errorf("%s of %q: %q, %v; want %q", c.regex, c.value, f.MappedUser, err, c.want)
		}
	}
}

func TestOfAnInactiveTokenNothingIsRead(t *testing.T) {
	t.Parallel()
	got, err := parseReply([]byte(`{"active":false,"username":17.5,"exp":"soon","scope":{}}`), customReading(""), time.Now())
	if err != nil || !cmp.Equal(got, Facts{Detail: "inactive"}, cmp.AllowUnexported(Facts{})) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestMalformedReplies(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, ` `, `null`, `true`, `[]`, `"active"`, `{`, `{}`, `{"active"}`, `{"active":true`, `{"active":tru}`, `{"active":true,}`,
		`{"Active":true}`, `{"active":"true"}`, `{"active":"false"}`, `{"active":1}`, `{"active":null}`, `{"active":[true]}`, `{"active":{}}`,
		`{"active":true,"active":true}`, `{"active":true,"active":false}`, `{"active":false,"active":true}`, `{"active":true,"\u0061ctive":false}`,
		`{"active":true,"sub":"a","sub":"b"}`, `{"active":true,"scope":"a","scope":"b"}`,
		`{"active":true}{"active":false}`, `{"active":true} x`, `{"active":true}]`,
		`{"active":true,"username":["a"]}`, `{"active":true,"username":true}`, `{"active":true,"sub":1.5}`, `{"active":true,"sub":1e3}`,
		`{"active":true,"exp":"soon"}`, `{"active":true,"expires_in":"soon"}`, `{"active":true,"exp":""}`, `{"active":true,"exp":"Inf"}`, `{"active":true,"exp":"NaN"}`, `{"active":true,"exp":"0x10"}`,
		`{"active":true,"exp":"1_000"}`, `{"active":true,"exp":" 1"}`, `{"active":true,"exp":"1 "}`, `{"active":true,"exp":true}`, `{"active":true,"exp":[1]}`,
		`{"active":true,"aud":{}}`, `{"active":true,"aud":[1]}`, `{"active":true,"scope":7}`,
		`{"active":true,"username":"a\u0000b"}`, `{"active":true,"username":"a\r\nX: y"}`, `{"active":true,"username":"\ud800"}`, "{\"active\":true,\"username\":\"\xff\"}",
		`{"active":true,"scope":"read\u0007"}`, `{"active":true,"sub":"` + strings.Repeat("x", MaxWord+1) + `"}`,
		`{"active":true,"scope":"` + strings.Repeat("scope ", maxWords/4) + `"}`,
		`{"active":true,"exp":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		if got, err := parseReply([]byte(body), customReading("username"), time.Now()); err == nil {
			t.Errorf("%.80s: %+v", body, got)
		}
	}
}

// FuzzReply: whatever a provider sends, what comes out is fit for headers, records and caches, and active only
// when the reply said so, once.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"client_id":"ci","username":"alice","sub":"1","scope":"read write","aud":["a","b"],"iss":"x","exp":1700000000,"nbf":"1","iat":1.5,"token_type":"Bearer"}`,
		`{"active":false}`, `{"active":"true"}`, `{"active":true,"active":false}`, `{"active":true,"\u0061ctive":false}`, `[]`, `{"active":true,"scope":["a b",""]}`,
		`{"active":true,"exp":1e999,"sub":"\ud800"}`, `{"ACTIVE":true,"email":"a@b","active":true}`, "\xef\xbb\xbf{}", `{"active":true}{}`,
	} {
		f.Add([]byte(seed), "email")
	}
	f.Fuzz(func(t *testing.T, body []byte, claim string) {
		got, err := parseReply(body, customReading(claim), at(1700000000))
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 120 {
				t.Errorf("error %q", err)
			}
			return
		}
		var plain map[string]json.RawMessage
		if e := json.Unmarshal([]byte(strings.TrimPrefix(string(body), "\xef\xbb\xbf")), &plain); e != nil {
			t.Fatalf("taken, though it is no JSON: %v", e)
		}
		bound := plain["cnf"] != nil && string(plain["cnf"]) != "null"
		if got.Active != (string(plain["active"]) == "true" && !bound) {
			t.Fatalf("active %v of %s", got.Active, plain["active"])
		}
		words := append(append([]string{got.ClientID, got.Username, got.Subject, got.MappedUser, got.Issuer, got.TokenType}, got.Scopes...), got.Audience...)
		size := 0
		for _, w := range words {
			size += len(w)
			if !utf8.ValidString(w) || strings.ContainsFunc(w, unicode.IsControl) || len(w) > MaxWord {
				t.Errorf("word %q", w)
			}
		}
		if size > maxWords+6*MaxWord {
			t.Errorf("%d bytes kept", size)
		}
		for _, at := range []time.Time{got.ExpiresAt, got.NotBefore, got.IssuedAt} {
			if !at.IsZero() && (at.Unix() < 0 || at.Unix() > latest) {
				t.Errorf("time %v", at)
			}
		}
	})
}
