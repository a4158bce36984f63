// Tokens that are bound to client certificates (RFC 8705), through proxies that end TLS.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { certificatesFrom } from './bound.mjs';
import { CertificateAuthority } from './certificates.mjs';
import { DpopKey } from './dpop_key.mjs';
import { freePort } from './free_port.mjs';
import { request } from './https.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { startServer } from './server.mjs';
import { haproxy, nginx, startTlsProxy } from './tls_proxy.mjs';
import { assertAccepted, initializeRequest } from './wire.mjs';

const ca = new CertificateAuthority({ after });
const [serverCertificate, own, other] = ['server', 'own', 'other'].map((name) => ca.issue(name));

const setups = [];
for (const proxy of [haproxy, nginx]) {
  for (const accessTokenFormat of ['jwt', 'opaque']) {
    setups.push({ proxy, accessTokenFormat, ...(await start({ after }, { proxy, accessTokenFormat })) });
  }
}

for (const { proxy, accessTokenFormat, provider, server } of setups) {
  const format = `${proxy.name}, ${accessTokenFormat}`;
  const bound = () => provider.certificateToken(own, ca.certificate, server);

  test(`${format}: a bound token is accepted only on connections with its certificate`, async () => {
    const token = await bound();

    for (let round = 0; round < 2; round += 1) {
      assertAccepted(await call(server, token, own));
      for (const certificate of [other, undefined]) {
        assert.equal((await call(server, token, certificate)).status, 401);
      }
    }
  });

  test(`${format}: a client cannot name a certificate in a header`, async () => {
    const token = await bound();
    const forged = proxy.forged(own);

    for (const certificate of [other, undefined]) {
      assert.equal((await call(server, token, certificate, forged)).status, 401);
    }
    assertAccepted(await call(server, token, own, forged));
  });

  test(`${format}: bearer tokens and DPoP are accepted with and without a certificate`, async () => {
    const bearer = await provider.token(server);
    const withProof = await provider.boundToken(await DpopKey.generate(), server);

    for (const certificate of [own, undefined]) {
      assertAccepted(await call(server, bearer, certificate));
      // The proof is for the public URL, and the MCP server receives the request without TLS.
      assertAccepted(await call(server, withProof, certificate));
    }
  });
}

test('where a certificate is required, tokens without one are rejected', async (t) => {
  const { provider, server } = await start(t, { environment: { MCP_SENDER_CONSTRAINT: 'mtls' } });

  assertAccepted(await call(server, await provider.certificateToken(own, ca.certificate, server), own));
  assert.equal((await call(server, await provider.token(server), own)).status, 401);
  const withProof = await provider.boundToken(await DpopKey.generate(), server);
  assert.equal((await call(server, withProof, own)).status, 401);
});

test('the metadata says that tokens may be bound to certificates', async (t) => {
  const { server } = await start(t);
  const { text } = await request(server.metadataUrl, { ca: ca.certificate });

  assert.equal(JSON.parse(text).tls_client_certificate_bound_access_tokens, true);
});

/** Starts an authorization server, an MCP server, and a proxy with TLS in front of that. */
async function start(t, { proxy = haproxy, accessTokenFormat = 'jwt', environment = {} } = {}) {
  const provider = await AuthorizationServer.start({ algorithm: 'ES256', accessTokenFormat, tls: serverCertificate });
  t.after(() => provider.stop());
  const port = await freePort();
  const origin = `https://127.0.0.1:${port}`;
  const server = await startServer({
    issuer: provider.issuer,
    environment: {
      ...INTROSPECTOR.environment,
      ...certificatesFrom(proxy.header),
      MCP_RESOURCE: `${origin}/mcp`,
      ...environment,
    },
  });
  t.after(() => server.stop());
  await startTlsProxy(t, proxy, { port, target: server.bind, certificate: serverCertificate, ca });
  const metadataUrl = `${origin}/.well-known/oauth-protected-resource/mcp`;
  return { provider, server: { url: `${origin}/mcp`, resource: `${origin}/mcp`, metadataUrl } };
}

/** Sends the first request of a session through the proxy. */
async function call({ url }, token, certificate, headers = {}) {
  const init = await initializeRequest(url, token, headers);
  return request(url, { ...init, certificate, ca: ca.certificate });
}
