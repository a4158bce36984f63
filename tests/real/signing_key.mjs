// A key pair that an authorization server signs with, and that a test can sign with as well: for the tokens that no
// well-behaved authorization server would ever issue.

import { randomUUID } from 'node:crypto';

import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';

export const ALGORITHMS = ['RS256', 'ES256', 'ES384', 'EdDSA'];

export class SigningKey {
  #pair;

  static async generate(algorithm, kid = randomUUID()) {
    const key = new SigningKey();
    key.algorithm = algorithm;
    key.kid = kid;
    key.#pair = await generateKeyPair(algorithm, { extractable: true });
    // No `alg` member: RSA and OKP keys are published without one, as several vendors do.
    key.jwk = { ...(await exportJWK(key.#pair.privateKey)), kid, use: 'sig' };
    return key;
  }

  /** Signs `claims` as an access token; `header` members replace the usual ones, `undefined` leaves one out. */
  sign(claims, header = {}) {
    const protectedHeader = { alg: this.algorithm, typ: 'at+jwt', kid: this.kid, ...header };
    return new SignJWT(claims).setProtectedHeader(withoutUndefined(protectedHeader)).sign(this.#pair.privateKey);
  }

  /** What a careless verifier would take for an HMAC secret. */
  publicPem() {
    return exportSPKI(this.#pair.publicKey);
  }
}

/** The claims of a good access token, with `changes` applied; `undefined` leaves a claim out. */
export function accessTokenClaims(issuer, resource, changes = {}) {
  const now = Math.floor(Date.now() / 1000);
  return withoutUndefined({
    iss: issuer,
    aud: resource,
    sub: 'alice',
    client_id: 'signed-by-the-test',
    scope: 'mcp:tools',
    iat: now,
    exp: now + 600,
    jti: randomUUID(),
    ...changes,
  });
}

function withoutUndefined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
