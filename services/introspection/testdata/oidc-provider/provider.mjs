// An OAuth 2.0 provider that is not ours (npm oidc-provider), for the tests: it prints its issuer and ends with its standard input.
// GATEHOUSE_JWK is the public key of client gatehouse-key.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const resource = { redirect_uris: [], response_types: [], grant_types: [] };
const people = { redirect_uris: [`${issuer}/plugins/servlet/restauth/token`], response_types: ['code'], grant_types: ['authorization_code'], scope: 'openid read' };
const machine = { ...resource, grant_types: ['client_credentials'] };

const provider = new Provider(issuer, {
  clients: [
    { client_id: 'ci-bot', client_secret: 'ci-bot-secret', ...machine, scope: 'read write' },
    { client_id: 'gatehouse', client_secret: 'a secret:+%/', ...people },
    { client_id: 'gatehouse-post', client_secret: 'posted', token_endpoint_auth_method: 'client_secret_post', ...people },
    { client_id: 'gatehouse-key', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [JSON.parse(process.env.GATEHOUSE_JWK)] }, ...people },
  ],
  scopes: ['openid', 'read', 'write'],
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
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

// Whoever is asked to log in is alice, and consents; who comes as ?ui_locales=no does not.
async function interact(request, response) {
  const { uid, prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (params.ui_locales === 'no') {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: `not ${uid}` });
  }
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
  }
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}
const answer = provider.callback();
server.on('request', (request, response) => (request.url.startsWith('/interaction/') ? interact(request, response) : answer(request, response)));
process.stdin.resume().on('end', () => process.exit(0));
console.log(issuer);
