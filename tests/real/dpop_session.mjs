// The login of a client with DPoP: SDK 2.x makes its proofs with its own implementation.

import { strict as assert } from 'node:assert';

import { DpopSession } from '@modelcontextprotocol/client';
import { decodeJwt } from 'jose';

import { OAuthSession } from './oauth_session.mjs';

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
