package configlog

import configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"

// Test is a call that is tried before a change is made, and what must become of it.
type Test struct {
	Name string `json:"name"`
	Type string `json:"type"` // oauth, api_token, pat, basic, none
	// Fetch: a token is fetched by client credentials of Provider, as ClientID or as the provider's own client.
	Fetch    bool   `json:"fetch,omitempty"`
	Provider string `json:"provider,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Username string `json:"username,omitempty"` // of basic
	// Credential is the token, the password, or the secret of ClientID.
	Credential Secret `json:"credential,omitzero"`
	Method     string `json:"method,omitempty"` // empty: GET
	Path       string `json:"path,omitempty"`   // below the context path; empty: where the product says who somebody is
	ClientIP   string `json:"client_ip,omitempty"`
	Expect     string `json:"expect"`         // allow, deny, pass, or a reason
	User       string `json:"user,omitempty"` // as whom it must act; empty: not checked
}

// TestsProto gives tests as facts carry them.
func TestsProto(tests []Test) []*configv1.Test {
	var all []*configv1.Test
	for i := range tests {
		t := &tests[i]
		all = append(all, &configv1.Test{
			Name: t.Name, Type: t.Type, Fetch: t.Fetch, Provider: t.Provider, ClientId: t.ClientID, Username: t.Username,
			Credential: t.Credential.Proto(), Method: t.Method, Path: t.Path, ClientIp: t.ClientIP, Expect: t.Expect, User: t.User,
		})
	}
	return all
}

func testsFromProto(tests []*configv1.Test) []Test {
	var all []Test
	for _, m := range tests {
		all = append(all, Test{
			Name: m.GetName(), Type: m.GetType(), Fetch: m.GetFetch(), Provider: m.GetProvider(), ClientID: m.GetClientId(), Username: m.GetUsername(),
			Credential: secretFromProto(m.GetCredential()), Method: m.GetMethod(), Path: m.GetPath(), ClientIP: m.GetClientIp(), Expect: m.GetExpect(), User: m.GetUser(),
		})
	}
	return all
}

// Test gives the test of that name, or nil.
func (s *Site) Test(name string) *Test {
	for i := range s.Tests {
		if s.Tests[i].Name == name {
			return &s.Tests[i]
		}
	}
	return nil
}
