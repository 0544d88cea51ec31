// An OAuth 2.0 provider that is not ours (npm oidc-provider), for the tests: it prints its issuer and ends with its standard input.
// GATEHOUSE_JWK is the public key of client gatehouse-key.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const resource = { redirect_uris: [], response_types: [], grant_types: [] };
const machine = { ...resource, grant_types: ['client_credentials'] };

const provider = new Provider(issuer, {
  clients: [
    { client_id: 'ci-bot', client_secret: 'ci-bot-secret', ...machine, scope: 'read write' },
    { client_id: 'gatehouse', client_secret: 'a secret:+%/', ...resource },
    { client_id: 'gatehouse-post', client_secret: 'posted', token_endpoint_auth_method: 'client_secret_post', ...resource },
    { client_id: 'gatehouse-key', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [JSON.parse(process.env.GATEHOUSE_JWK)] }, ...resource },
  ],
  scopes: ['read', 'write'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, indicator) => ({
        scope: 'read write',
        audience: indicator,
        accessTokenTTL: 300,
        accessTokenFormat: indicator.startsWith('urn:jwt:') ? 'jwt' : 'opaque',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
server.on('request', provider.callback());
process.stdin.resume().on('end', () => process.exit(0));
console.log(issuer);
