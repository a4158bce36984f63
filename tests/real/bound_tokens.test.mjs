// The bound tokens that `oidc-provider` issues, and an MCP server without a setting for them.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { decodeJwt } from 'jose';

import { AuthorizationServer } from './authorization_server.mjs';
import { CertificateAuthority } from './certificates.mjs';
import { DpopKey } from './dpop_key.mjs';
import { fixture, opaqueFixture } from './fixture.mjs';
import { assertRejected, initialize } from './wire.mjs';

const resource = 'http://127.0.0.1:1/mcp';
const ca = new CertificateAuthority({ after });
const [serverCertificate, clientCertificate] = [ca.issue('server'), ca.issue('client')];
const key = await DpopKey.generate();

for (const nonces of [false, true]) {
  for (const accessTokenFormat of ['jwt', 'opaque']) {
    const options = { algorithm: 'ES256', nonces, accessTokenFormat, tls: serverCertificate };
    const claims = (provider, token) => (accessTokenFormat === 'jwt' ? decodeJwt(token) : provider.introspect(token));

    test(`oidc-provider ${nonces ? 'with' : 'without'} nonces binds tokens in the format ${accessTokenFormat}`, async (t) => {
      const provider = await AuthorizationServer.start(options);
      t.after(() => provider.stop());
      const { token: withProof } = await provider.boundToken(key, { resource });
      const withCertificate = await provider.certificateToken(clientCertificate, ca.certificate, { resource });

      assert.deepEqual((await claims(provider, withProof)).cnf, { jkt: key.thumbprint });
      const { cnf } = await claims(provider, withCertificate);
      assert.deepEqual(cnf, { 'x5t#S256': clientCertificate.thumbprint });
      if (accessTokenFormat === 'jwt') return;
      assert.equal((await provider.introspect(withProof)).token_type, 'DPoP');
      assert.equal((await provider.introspect(withCertificate)).token_type, 'Bearer');
    });
  }
}

for (const [format, start] of Object.entries({ JWT: fixture, opaque: opaqueFixture })) {
  test(`${format}: a server without the setting rejects bound tokens, and does not mention DPoP`, async (t) => {
    const { provider, server } = await start(t, { algorithm: 'ES256', tls: serverCertificate });
    const withProof = await provider.boundToken(key, server);
    const withCertificate = await provider.certificateToken(clientCertificate, ca.certificate, server);
    const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

    for (const token of [withProof.token, withCertificate]) {
      assertRejected(await initialize(server.url, token), 401, { ...challenge, error: 'invalid_token' });
    }
    const { status, headers } = await initialize(server.url, withProof);
    assert.equal(status, 401);
    assert.doesNotMatch(headers.get('www-authenticate'), /DPoP/i);
  });
}
