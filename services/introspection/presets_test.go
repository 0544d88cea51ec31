package introspection_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

// fixture is what a kind of provider answers about a token, or what a token of it says, and what that means. Times are {now}
// and seconds from it, the token {token}, the issuer {iss}, our client {client}.
type fixture struct {
	kind, name string
	status     int    // 0: the body is a token's payload
	body       string // as the provider sends it
	// want is client, user, scopes, audience, seconds to its end; person marks one.
	want   string
	person bool
	// no is why it is not active; err what the error says.
	no, err string
}

// fixtures are replies as the providers document them, or as their users show them.
func fixtures() []fixture {
	const okta = `{"active":true,"aud":"https://acme.com","client_id":"0oabv6kx4qq6h1U5l0h7","device_id":"q4SZgrA9sOeHkfst5uaa","exp":{now+3600},"iat":{now},"iss":"{iss}","jti":"AT.x","nbf":{now},"scope":"openid profile","sub":"john.doe@example.com","token_type":"Bearer","uid":"00u1adtrf6J8xfGw80g4","username":"john.doe@example.com"}`
	const keycloak = `{"exp":{now+300},"iat":{now},"jti":"x","iss":"{iss}","aud":["account","jira"],"sub":"0b9a","typ":"Bearer","azp":"ci","realm_access":{"roles":["a"]},"scope":"email profile","preferred_username":"service-account-ci","client_id":"ci","username":"service-account-ci","token_type":"Bearer","active":true}`
	const entra = `{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"{iss}","iat":{now},"nbf":{now},"exp":{now+3900},"aio":"x","azp":"b5a2a09c-04b7-4a45-bf9e-8d2f1f9a7e5c","azpacr":"1","oid":"690222be","rh":"I","roles":["Jira.Read"],"sub":"690222be","tid":"72f988bf","uti":"x","ver":"2.0"}`
	const google = `{"azp":"32555350559.apps.googleusercontent.com","aud":"32555350559.apps.googleusercontent.com","sub":"111260650121245072906","scope":"openid https://www.googleapis.com/auth/userinfo.email","exp":"{now+3488}","expires_in":"3488","email":"user@example.com","email_verified":"true","access_type":"online"}`
	const github = `{"id":1,"url":"https://api.github.com/authorizations/1","scopes":["public_repo","user"],"token":"{token}","token_last_eight":"Ae178B4a","hashed_token":"25f94","app":{"url":"http://my-github-app.com","name":"my github app","client_id":"{client}"},"note":null,"note_url":null,"updated_at":"2011-09-06T20:39:23Z","created_at":"2011-09-06T17:26:27Z","fingerprint":"x","expires_at":null,"user":{"login":"octocat","id":583231,"type":"User","site_admin":false}}`
	const cognito = `{"sub":"1example23456789","client_id":"1example23456789","token_use":"access","scope":"jira/read jira/write","auth_time":{now},"iss":"{iss}","exp":{now+3600},"iat":{now},"version":2,"jti":"x"}`
	const pingAM = `{"active":true,"scope":"write","realm":"/alpha","client_id":"myClient","user_id":"myClient","username":"myClient","token_type":"Bearer","exp":{now+3599},"sub":"(age!myClient)","subname":"myClient","iss":"{iss}","auth_level":0,"authGrantId":"x","auditTrackingId":"x"}`
	const auth0 = `{"iss":"{iss}","sub":"Zk7@clients","aud":"https://jira.example.com","iat":{now},"exp":{now+86400},"azp":"Zk7","scope":"read:jira","gty":"client-credentials"}`
	const hydra = `{"active":true,"scope":"read","client_id":"ci","sub":"ci","exp":{now+3599},"iat":{now},"nbf":{now},"aud":[],"iss":"{iss}/","token_type":"Bearer","token_use":"access_token"}`
	const zitadel = `{"active":true,"scope":"openid profile","client_id":"ci-bot","token_type":"Bearer","exp":{now+43199},"iat":{now},"auth_time":{now},"nbf":{now},"sub":"229","aud":["ci-bot","229"],"iss":"{iss}","jti":"x","username":"ci-bot","name":"CI","preferred_username":"ci-bot","locale":null}`
	swap := strings.Replace
	return []fixture{
		{"okta", "of a person", 200, okta, "0oabv6kx4qq6h1U5l0h7, john.doe@example.com, openid profile, https://acme.com, 3600", true, "", ""},
		{"okta", "of a client", 200, `{"active":true,"scope":"jira","client_id":"0oa","sub":"0oa","token_type":"Bearer","exp":{now+3600},"iss":"{iss}","aud":"api://jira","device_id":null}`, "0oa, 0oa, jira, api://jira, 3600", false, "", ""},
		{"okta", "revoked", 200, `{"active":false}`, "", false, "inactive", ""},
		{"okta", "a token signed by it", 0, `{"ver":1,"iss":"{iss}","aud":"api://jira","iat":{now},"exp":{now+3600},"cid":"0oa","scp":["jira"],"sub":"0oa"}`, "0oa, 0oa, jira, api://jira, 3600", false, "", ""},
		{"entra", "of an application", 0, entra, "b5a2a09c-04b7-4a45-bf9e-8d2f1f9a7e5c, 690222be, Jira.Read, 6e74172b-be56-4843-9ff4-e66a39bb12e3, 3900", false, "", ""},
		{"entra", "of a user", 0, swap(entra, `"roles":["Jira.Read"]`, `"scp":"access_as_user","preferred_username":"a@example.com"`, 1), "b5a2a09c-04b7-4a45-bf9e-8d2f1f9a7e5c, a@example.com, access_as_user, 6e74172b-be56-4843-9ff4-e66a39bb12e3, 3900", true, "", ""},
		{"entra", "of a user it does not name", 0, swap(entra, `"roles":["Jira.Read"]`, `"scp":"x"`, 1), "b5a2a09c-04b7-4a45-bf9e-8d2f1f9a7e5c, 690222be, x, 6e74172b-be56-4843-9ff4-e66a39bb12e3, 3900", true, "", ""},
		{"entra", "of version 1", 0, swap(entra, `"iss":"{iss}"`, `"iss":"https://sts.windows.net/72f988bf/"`, 1), "", false, "no provider of the site can have issued it", ""},
		{"keycloak", "of a service account", 200, keycloak, "ci, service-account-ci, email profile, account jira, 300", false, "", ""},
		{"keycloak", "of a person", 200, strings.ReplaceAll(keycloak, "service-account-ci", "alice"), "ci, alice, email profile, account jira, 300", true, "", ""},
		{"keycloak", "a refresh token", 200, swap(keycloak, `"typ":"Bearer"`, `"typ":"Refresh"`, 1), "ci, service-account-ci, email profile, account jira, 300, Refresh", false, "", ""},
		{"keycloak", "of a person who is called like the client", 200, strings.ReplaceAll(keycloak, "service-account-ci", "ci"), "ci, ci, email profile, account jira, 300", true, "", ""},
		{"keycloak", "a lightweight one", 0, `{"jti":"x","iss":"{iss}","exp":{now+300},"sub":"8bef","typ":"Bearer","azp":"web","sid":"54db","scope":"openid"}`, "web, , openid, , 300", true, "", ""},
		{"entra", "an ID token", 0, `{"aud":"6e74","iss":"{iss}","iat":{now},"nbf":{now},"exp":{now+3900},"name":"A","oid":"690222be","preferred_username":"a@example.com","roles":["Jira.Read"],"sub":"AAAA","tid":"72f988bf","ver":"2.0"}`, "", false, "it is an ID token, or names no client", ""},
		{"entra", "of a user without scopes", 0, strings.NewReplacer(`"sub":"690222be"`, `"sub":"pairwise"`).Replace(entra), "b5a2a09c-04b7-4a45-bf9e-8d2f1f9a7e5c, 690222be, Jira.Read, 6e74172b-be56-4843-9ff4-e66a39bb12e3, 3900", true, "", ""},
		{"okta", "an ID token", 0, `{"aud":"0oa","iss":"{iss}","iat":{now},"exp":{now+3600},"sub":"00u1","ver":1,"nonce":"n","at_hash":"x","preferred_username":"a@example.com"}`, "", false, "it is an ID token, or names no client", ""},
		{"okta", "a person's, signed", 0, `{"ver":1,"iss":"{iss}","aud":"api://jira","iat":{now},"exp":{now+3600},"cid":"0oa","uid":"00u1","scp":["jira"],"sub":"john@example.com"}`, "0oa, john@example.com, jira, api://jira, 3600", true, "", ""},
		{"cognito", "of a person who is called like the client", 0, swap(cognito, `"version":2`, `"version":2,"username":"1example23456789"`, 1), "1example23456789, 1example23456789, jira/read jira/write, , 3600", true, "", ""},
		{"cognito", "of somebody it does not name", 0, swap(cognito, `"sub":"1example23456789"`, `"sub":"aaaa"`, 1), "1example23456789, , jira/read jira/write, , 3600", true, "", ""},
		{"pingam", "of a person, signed", 0, `{"sub":"(usr!bjensen)","cts":"OAUTH2_STATELESS_GRANT","subname":"bjensen","iss":"{iss}","tokenName":"access_token","token_type":"Bearer","nonce":"n","aud":"web","client_id":"web","exp":{now+60},"scope":["write"]}`, "web, (usr!bjensen), write, web, 60", true, "", ""},
		{"pingam", "a refresh token", 0, `{"sub":"(age!web)","iss":"{iss}","tokenName":"refresh_token","token_type":"Bearer","aud":"web","client_id":"web","exp":{now+60},"scope":["write"]}`, "web, (age!web), write, web, 60, refresh_token", false, "", ""},
		{"zitadel", "of somebody, signed", 0, `{"iss":"{iss}","sub":"229","aud":["1@p"],"exp":{now+60},"iat":{now},"client_id":"1@p","jti":"x"}`, "1@p, , , 1@p, 60", true, "", ""},
		{"custom", "RFC 9068, of a person", 0, `{"iss":"{iss}","sub":"5ba552d67","aud":"https://rs.example.com/","exp":{now+60},"iat":{now},"jti":"x","client_id":"s6BhdRkqt3","scope":"openid profile reademail"}`, "s6BhdRkqt3, , openid profile reademail, https://rs.example.com/, 60", true, "", ""},
		{"custom", "RFC 9068, of a client", 0, `{"iss":"{iss}","sub":"s6BhdRkqt3","aud":"https://rs.example.com/","exp":{now+60},"client_id":"s6BhdRkqt3","scope":"read"}`, "s6BhdRkqt3, , read, https://rs.example.com/, 60", false, "", ""},
		{"custom", "no client", 0, `{"iss":"{iss}","sub":"s6BhdRkqt3","aud":"https://rs.example.com/","exp":{now+60},"scope":"read"}`, "", false, "it is an ID token, or names no client", ""},
		{"custom", "an ID token with a client", 0, `{"iss":"{iss}","sub":"u","azp":"web","aud":"web","exp":{now+60},"nonce":"n"}`, "", false, "it is an ID token, or names no client", ""},
		{"google", "nothing", 200, `{}`, "", false, "", "no client or no end"},
		{"google", "of version 1", 200, `{"issued_to":"a","audience":"a","user_id":"111","scope":"s","expires_in":3000,"email":"u@example.com","verified_email":true}`, "", false, "", "no client or no end"},
		{"google", "an address nobody verified", 200, swap(google, `"email_verified":"true"`, `"email_verified":"false"`, 1), "32555350559.apps.googleusercontent.com, 111260650121245072906, openid https://www.googleapis.com/auth/userinfo.email, 32555350559.apps.googleusercontent.com, 3488", true, "", ""},
		{"github", "somebody else's 404", 404, `{"message":"no Route matched with those values"}`, "", false, "", "not as GitHub does"},
		{"google", "of a person", 200, google, "32555350559.apps.googleusercontent.com, user@example.com, openid https://www.googleapis.com/auth/userinfo.email, 32555350559.apps.googleusercontent.com, 3488", true, "", ""},
		{"google", "of a service account", 200, `{"azp":"102","aud":"102","sub":"102","scope":"https://www.googleapis.com/auth/userinfo.email","exp":"{now+3599}","expires_in":"3599","email":"ci@p.iam.gserviceaccount.com","email_verified":"true","access_type":"online"}`, "102, ci@p.iam.gserviceaccount.com, https://www.googleapis.com/auth/userinfo.email, 102, 3599", false, "", ""},
		{"google", "of somebody it does not name", 200, `{"azp":"102","aud":"102","scope":"a","expires_in":"60"}`, "102, , a, 102, 60", true, "", ""},
		{"google", "one that is not good", 400, `{"error":"invalid_token","error_description":"Invalid Value"}`, "", false, "inactive", ""},
		{"google", "another error", 400, `{"error":"invalid_request"}`, "", false, "", "not about the token"},
		{"google", "too many", 429, `{}`, "", false, "", "429"},
		{"github", "of a person", 200, github, "{client}, octocat, public_repo user, , 0", true, "", ""},
		{"github", "that ends", 200, swap(github, `"expires_at":null`, `"expires_at":"{rfc+600}"`, 1), "{client}, octocat, public_repo user, , 600", true, "", ""},
		{"github", "one that is not good", 404, `{"message":"Not Found","documentation_url":"https://docs.github.com/rest"}`, "", false, "inactive", ""},
		{"github", "our client is wrong", 401, `{"message":"Bad credentials"}`, "", false, "", "client id and secret"},
		{"github", "spammed", 422, `{"message":"Validation Failed"}`, "", false, "", "422"},
		{"github", "about another token", 200, swap(github, "{token}", "gho_other", 1), "", false, "", "not about the token"},
		{"github", "of another app", 200, swap(github, "{client}", "other", 1), "", false, "", "not about the token"},
		{"github_enterprise", "of a person", 200, github, "{client}, octocat, public_repo user, , 0", true, "", ""},
		{"gitlab", "of a person", 200, `{"active":true,"scope":"openid api","client_id":"e7c6","token_type":"Bearer","exp":{now+7200},"iat":{now}}`, "e7c6, sidney, openid api, , 7200", true, "", ""},
		{"gitlab", "of a person, and a broken userinfo", 200, `{"active":true,"scope":"openid broken","client_id":"e7c6","token_type":"Bearer","exp":{now+7200},"iat":{now}}`, "", true, "", "its userinfo is no JSON object"},
		{"gitlab", "of somebody it does not name", 200, `{"active":true,"scope":"api read_user","client_id":"e7c6","token_type":"Bearer","exp":{now+7200},"iat":{now}}`, "e7c6, , api read_user, , 7200", true, "", ""},
		{"gitlab", "the 500 its users report", 500, `{}`, "", false, "", "500"},
		{"cognito", "of a client", 0, cognito, "1example23456789, , jira/read jira/write, , 3600", false, "", ""},
		{"cognito", "of a person", 0, swap(cognito, `"version":2`, `"version":2,"username":"my-test-user","cognito:groups":["a"]`, 1), "1example23456789, my-test-user, jira/read jira/write, , 3600", true, "", ""},
		{"cognito", "an ID token", 0, swap(cognito, `"token_use":"access"`, `"token_use":"id"`, 1), "1example23456789, , jira/read jira/write, , 3600, id", false, "", ""},
		{"pingfederate", "of a client", 200, `{"scope":"edit","active":true,"token_type":"Bearer","exp":{now+7199},"client_id":"cc_client"}`, "cc_client, , edit, , 7199", false, "", ""},
		{"pingfederate", "of a person", 200, `{"active":true,"client_id":"web","username":"joe","scope":"edit","token_type":"urn:ietf:params:oauth:token-type:access_token","exp":{now+60}}`, "web, joe, edit, , 60", true, "", ""},
		{"pingfederate", "without active", 200, `{"client_id":"web","scope":"edit","expires_in":60}`, "", false, "", "lacks active"},
		{"pingone", "of a client", 200, `{"active":true,"scope":"read","client_id":"c1","iat":{now},"exp":{now+3600},"aud":["jira"],"iss":"{iss}","env":"e","org":"o"}`, "c1, , read, jira, 3600", false, "", ""},
		{"pingone", "of a person", 200, `{"active":true,"scope":"read","client_id":"c1","sub":"u1","username":"joe","exp":{now+3600},"aud":["jira"],"iss":"{iss}"}`, "c1, joe, read, jira, 3600", true, "", ""},
		{"pingam", "of a client", 200, pingAM, "myClient, myClient, write, , 3599", false, "", ""},
		{"pingam", "of a person", 200, strings.NewReplacer(`"username":"myClient"`, `"username":"bjensen"`, "(age!myClient)", "(usr!bjensen)").Replace(pingAM), "myClient, bjensen, write, , 3599", true, "", ""},
		{"auth0", "of a client", 0, auth0, "Zk7, Zk7@clients, read:jira, https://jira.example.com, 86400", false, "", ""},
		{"auth0", "of a person", 0, swap(auth0, "Zk7@clients", "auth0|5f7c", 1), "Zk7, auth0|5f7c, read:jira, https://jira.example.com, 86400", true, "", ""},
		{"hydra", "of a client", 200, hydra, "ci, ci, read, , 3599", false, "", ""},
		{"hydra", "of a person", 200, swap(hydra, `"sub":"ci"`, `"sub":"foo@bar.com"`, 1), "ci, foo@bar.com, read, , 3599", true, "", ""},
		{"hydra", "a refresh token", 200, swap(hydra, `"token_use":"access_token"`, `"token_use":"refresh_token"`, 1), "ci, ci, read, , 3599, refresh_token", false, "", ""},
		{"zitadel", "of a machine user", 200, zitadel, "ci-bot, ci-bot, openid profile, ci-bot 229, 43199", false, "", ""},
		{"zitadel", "of a person", 200, strings.NewReplacer(`"username":"ci-bot"`, `"username":"joe"`).Replace(zitadel), "ci-bot, joe, openid profile, ci-bot 229, 43199", true, "", ""},
		{"custom", "RFC 7662", 200, `{"active":true,"client_id":"l238","username":"jdoe","scope":"read write dolphin","sub":"Z5O","aud":"https://protected.example.net/resource","iss":"{iss}","exp":{now+60},"extension_field":"twenty-seven"}`, "l238, jdoe, read write dolphin, https://protected.example.net/resource, 60", true, "", ""},
		{"custom", "no exp", 200, `{"active":true,"client_id":"c"}`, "c, , , , 0", false, "", ""},
		{"custom", "404", 404, `{"active":false}`, "", false, "", "404"},
	}
}

// TestEveryPresetReadsItsProvider end to end: the provider is configured as its preset says and answers as it does.
func TestEveryPresetReadsItsProvider(t *testing.T) {
	t.Parallel()
	w, key, now := newWorld(t), ecKey(t, "k1"), time.Now().Unix()
	servers := map[string]*issuer{}
	answers := map[string]fixture{} // by token
	fill := func(f fixture, p *issuer, token string) string {
		out := strings.NewReplacer("{iss}", p.URL, "{client}", "Ov23li"+f.kind, "{token}", token, "{now}", strconv.FormatInt(now, 10)).Replace(f.body)
		for _, open := range []string{"{now+", "{rfc+"} {
			for {
				before, rest, found := strings.Cut(out, open)
				if !found {
					break
				}
				number, after, _ := strings.Cut(rest, "}")
				seconds, _ := strconv.ParseInt(number, 10, 64)
				text := strconv.FormatInt(now+seconds, 10)
				if open == "{rfc+" {
					text = time.Unix(now+seconds, 0).UTC().Format(time.RFC3339)
				}
				out = before + text + after
			}
		}
		return out
	}
	covered := map[string]bool{}
	for _, preset := range presets.All() {
		p := startIssuer(t, "", key)
		servers[preset.Kind] = p
		reply := func(w http.ResponseWriter, token string) {
			f := answers[token]
			says(f.status, "application/json", fill(f, p, token))(w, nil)
		}
		p.introspect = reply
		p.say("userinfo_endpoint", p.URL+"/userinfo")
		p.on("/userinfo", func(w http.ResponseWriter, r *http.Request) {
			switch f := answers[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; {
			case strings.Contains(f.body, "openid broken"):
				says(200, "application/json", `[]`)(w, r)
			case strings.Contains(f.body, "openid"):
				says(200, "application/json", `{"sub":"7","sub_legacy":"x","name":"Sidney Jones","nickname":"sidney","preferred_username":"sidney","email":"s@example.com","email_verified":true,"groups":["a"]}`)(w, r)
			default:
				says(403, "application/json", `{"error":"insufficient_scope"}`)(w, r)
			}
		})
		p.on("/tokeninfo", func(w http.ResponseWriter, r *http.Request) { reply(w, r.FormValue("access_token")) })
		p.on("/applications/Ov23li"+preset.Kind+"/token", func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				Token string `json:"access_token"`
			}
			id, secret, _ := r.BasicAuth()
			if json.NewDecoder(r.Body).Decode(&body) != nil || id != "Ov23li"+preset.Kind || secret != "s" {
				t.Errorf("asked as %s:%s", id, secret)
			}
			reply(w, body.Token)
		})
		c := configlog.Provider{
			ID: preset.Kind, Kind: preset.Kind, Issuer: p.URL, ClientID: "Ov23li" + preset.Kind, ClientSecret: w.seal("s"), CallerAuth: preset.CallerAuth[0],
			Cache: configlog.Cache{MaxTTL: configlog.Duration(time.Minute)},
		}
		switch preset.Validations[0] {
		case presets.TokenInfo:
			c.IntrospectionEndpoint = p.URL + "/tokeninfo"
		case presets.TokenCheck:
			c.Issuer, c.IntrospectionEndpoint = "", p.URL+"/applications/{client_id}/token"
		default:
		}
		w.commit(registered(preset.Kind, "jira"), trusted(preset.Kind, c))
		if preset.Takes(presets.JWT) {
			c.Validation = "jwt"
			w.commit(registered(preset.Kind+"-signed", "jira"), trusted(preset.Kind+"-signed", c))
		}
	}
	all := fixtures()
	tokens := make([]string, len(all))
	for i, f := range all {
		preset, _ := presets.Of(f.kind)
		tokens[i] = fmt.Sprint("token", i)
		if len(preset.Prefixes) > 0 {
			tokens[i] = preset.Prefixes[0] + tokens[i]
		}
		if f.status == 0 || preset.Issues&presets.Opaque == 0 {
			var body map[string]any
			if err := json.Unmarshal([]byte(fill(f, servers[f.kind], "")), &body); err != nil {
				t.Fatal(err)
			}
			tokens[i] = key.sign(t, body, "typ", "JWT")
		}
		answers[tokens[i]] = f
	}
	w.run(nil)
	for i, f := range all {
		covered[f.kind] = true
		site := f.kind
		if f.status == 0 {
			site += "-signed"
		}
		since := time.Now().Unix()
		r, err := w.introspect(site, tokens[i])
		f.want = strings.ReplaceAll(f.want, "{client}", "Ov23li"+f.kind)
		switch {
		case f.err != "":
			if err == nil || !strings.Contains(err.Error(), f.err) {
				t.Errorf("%s, %s: %v, %v", f.kind, f.name, r, err)
			}
		case err != nil:
			t.Errorf("%s, %s: %v", f.kind, f.name, err)
		case f.no != "":
			if r.GetActive() || r.GetDetail() != f.no {
				t.Errorf("%s, %s: %v", f.kind, f.name, r)
			}
		case !f.as(r, now, since):
			t.Errorf("%s, %s: %s, person %t; want %s", f.kind, f.name, read(r, now), r.GetHolder() == identityv1.IntrospectReply_HOLDER_PERSON, f.want)
		}
	}
	for _, kind := range presets.Kinds() {
		if !covered[kind] {
			t.Errorf("no fixture of %s", kind)
		}
	}
}

// as tells whether a reply is what a fixture wants. expires_in alone counts from the answer, which came since a time.
func (f *fixture) as(r *identityv1.IntrospectReply, now, since int64) bool {
	from, to := now, now
	if strings.Contains(f.body, `"expires_in"`) && !strings.Contains(f.body, `"exp"`) {
		from, to = since, time.Now().Unix()
	}
	for ; from <= to; from++ {
		if strings.HasPrefix(read(r, from)+",", f.want+",") {
			return (r.GetHolder() == identityv1.IntrospectReply_HOLDER_PERSON) == f.person && r.GetActive()
		}
	}
	return false
}

// read is a reply as a fixture wants it.
func read(r *identityv1.IntrospectReply, now int64) string {
	ends := int64(0)
	if r.GetExpiresAt() != nil {
		ends = r.GetExpiresAt().AsTime().Unix() - now
	}
	return strings.Join(slices.Concat([]string{r.GetClientId(), r.GetUsername(), strings.Join(r.GetScopes(), " "), strings.Join(r.GetAudience(), " ")},
		[]string{strconv.FormatInt(ends, 10), r.GetTokenType()}), ", ")
}
