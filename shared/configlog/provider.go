package configlog

import (
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Proto gives the provider as facts carry it.
func (p Provider) Proto() *configv1.Provider {
	out := &configv1.Provider{
		Id: p.ID, Name: p.Name, Kind: p.Kind, Issuer: p.Issuer, IntrospectionEndpoint: p.IntrospectionEndpoint,
		ClientId: p.ClientID, ClientSecret: p.ClientSecret.Proto(), CallerAuth: p.CallerAuth, Scope: p.Scope,
		RequiredScopes: p.RequiredScopes, Audience: p.Audience, ServiceAccount: p.ServiceAccount,
		UsernameClaim: p.UsernameClaim, CacheMaxTtl: durationpb.New(p.Cache.MaxTTL.Std()),
		CacheNegativeTtl: durationpb.New(p.Cache.NegativeTTL.Std()), AllowPlainHttp: p.AllowPlainHTTP,
		Validation: p.Validation, JwksUri: p.JWKSURI, TokenPrefix: p.TokenPrefix, PrivateKey: p.PrivateKey.Proto(), PrivateKeyId: p.PrivateKeyID, UsernameRegex: p.UsernameRegex,
		AuthorizationEndpoint: p.AuthorizationEndpoint, TokenEndpoint: p.TokenEndpoint,
	}
	if p.Cache.StaleFor != 0 {
		out.CacheStaleFor = durationpb.New(p.Cache.StaleFor.Std())
	}
	for _, c := range p.Clients {
		out.Clients = append(out.Clients, &configv1.ClientMapping{ClientId: c.ClientID, ServiceAccount: c.ServiceAccount})
	}
	return out
}

func providerFromProto(m *configv1.Provider) Provider {
	p := Provider{
		ID: m.GetId(), Name: m.GetName(), Kind: m.GetKind(), Issuer: m.GetIssuer(),
		IntrospectionEndpoint: m.GetIntrospectionEndpoint(), ClientID: m.GetClientId(),
		ClientSecret: secretFromProto(m.GetClientSecret()), CallerAuth: m.GetCallerAuth(), Scope: m.GetScope(),
		RequiredScopes: m.GetRequiredScopes(), Audience: m.GetAudience(), ServiceAccount: m.GetServiceAccount(),
		UsernameClaim: m.GetUsernameClaim(), AllowPlainHTTP: m.GetAllowPlainHttp(),
		Validation: m.GetValidation(), JWKSURI: m.GetJwksUri(), TokenPrefix: m.GetTokenPrefix(), PrivateKey: secretFromProto(m.GetPrivateKey()), PrivateKeyID: m.GetPrivateKeyId(), UsernameRegex: m.GetUsernameRegex(),
		AuthorizationEndpoint: m.GetAuthorizationEndpoint(), TokenEndpoint: m.GetTokenEndpoint(),
		Cache: Cache{MaxTTL: Duration(m.GetCacheMaxTtl().AsDuration()), NegativeTTL: Duration(m.GetCacheNegativeTtl().AsDuration()), StaleFor: Duration(m.GetCacheStaleFor().AsDuration())},
	}
	for _, c := range m.GetClients() {
		p.Clients = append(p.Clients, Client{ClientID: c.GetClientId(), ServiceAccount: c.GetServiceAccount()})
	}
	return p
}

// Proto gives the secret as facts carry it; nil for none.
func (s Secret) Proto() *configv1.Secret {
	if s.IsZero() {
		return nil
	}
	return &configv1.Secret{Ref: s.Ref, Version: s.Version, Fingerprint: s.Fingerprint, Env: s.Env, File: s.File, Recipient: s.Recipient}
}

func secretFromProto(m *configv1.Secret) Secret {
	return Secret{Ref: m.GetRef(), Version: m.GetVersion(), Fingerprint: m.GetFingerprint(), Env: m.GetEnv(), File: m.GetFile(), Recipient: m.GetRecipient()}
}
