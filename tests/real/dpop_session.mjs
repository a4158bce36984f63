// The login of a client with DPoP: SDK 2.x makes its proofs with its own implementation.

import { strict as assert } from 'node:assert';

import { DpopSession } from '@modelcontextprotocol/client';
import { decodeJwt } from 'jose';

import { Browser } from './browser.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims } from './signing_key.mjs';

export async function dpopSession() {
  return new OAuthSession({ dpop: await DpopSession.create() });
}

/** Asserts that the token is bound to the key of the session. */
export function assertBound(session) {
  const { access_token: token, token_type: type } = session.tokens();
  assert.equal(type, 'DPoP');
  if (token.includes('.')) assert.deepEqual(decodeJwt(token).cnf, { jkt: session.dpop().thumbprint });
}

/** Asserts that each accepted request to the server had the scheme `DPoP` and its own proof. */
export function assertProofs(session, server) {
  const accepted = session.trace.filter(({ url, status }) => url === server.url && status < 400);
  const ids = accepted.map(({ headers }) => {
    assert.match(headers.get('authorization'), /^DPoP /);
    return decodeJwt(headers.get('dpop')).jti;
  });
  assert.ok(ids.length > 1);
  assert.equal(new Set(ids).size, ids.length);
}

/** The statuses of all requests to `url`. */
export function statuses(session, url) {
  return session.trace.filter((request) => request.url === url).map(({ status }) => status);
}

/** Asserts that a client which has logged in gets a new bound token for an expired one, without a new login. */
export async function assertRefresh(sdk, provider, server) {
  const session = await dpopSession();
  const connection = await sdk.connect(server.url, session, new Browser());
  const cnf = { jkt: session.dpop().thumbprint };
  const expired = await provider.key.sign(accessTokenClaims(provider.issuer, server.resource, { exp: 1, cnf }));
  session.saveTokens({ ...session.tokens(), access_token: expired });

  assert.equal((await connection.whoami()).subject, 'alice');
  assert.equal(session.authorizationUrls.length, 1, 'the client asked its user');
  assert.notEqual(session.tokens().access_token, expired);
  assertBound(session);
  await connection.close();
}
