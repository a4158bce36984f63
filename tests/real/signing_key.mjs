// A key pair for an authorization server. A test can also sign with it, to create tokens that an authorization server
// would never issue.

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
    // Several vendors publish RSA and OKP keys without `alg`, so these keys do not contain it.
    key.jwk = { ...(await exportJWK(key.#pair.privateKey)), kid, use: 'sig' };
    return key;
  }

  /** Signs `claims` as an access token. Members of `header` replace the default ones; `undefined` removes one. */
  sign(claims, header = {}) {
    const protectedHeader = { alg: this.algorithm, typ: 'at+jwt', kid: this.kid, ...header };
    return new SignJWT(claims).setProtectedHeader(withoutUndefined(protectedHeader)).sign(this.#pair.privateKey);
  }

  /** The public key, which an insecure verifier could use as an HMAC secret. */
  publicPem() {
    return exportSPKI(this.#pair.publicKey);
  }
}

/** The claims of a valid access token, with `changes` applied. `undefined` removes a claim. */
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

export function withoutUndefined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
