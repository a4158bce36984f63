// A key for DPoP (RFC 9449), and proofs with it. It uses only `jose`, so the proofs do not depend on an MCP SDK, and a
// test can make each member of a proof wrong.

import { randomUUID, subtle } from 'node:crypto';

import { base64url, calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';

import { withoutUndefined } from './signing_key.mjs';

/** The algorithms that both the authorization server and the MCP server accept by default. */
export const PROOF_ALGORITHMS = ['ES256', 'EdDSA'];

export class DpopKey {
  #algorithm;
  #privateKey;

  static async generate(algorithm = 'ES256') {
    const key = new DpopKey();
    const pair = await generateKeyPair(algorithm, { extractable: true });
    key.#algorithm = algorithm;
    key.#privateKey = pair.privateKey;
    key.publicJwk = await exportJWK(pair.publicKey);
    key.privateJwk = await exportJWK(pair.privateKey);
    key.thumbprint = await calculateJwkThumbprint(key.publicJwk);
    return key;
  }

  /**
   * Signs a proof for one request, as if it was made `age` seconds ago. `token` sets `ath`. Members of `claims` and
   * `header` replace the default ones; `undefined` removes one.
   */
  async proof({ method = 'POST', url, token, nonce, age = 0, claims = {}, header = {} }) {
    const payload = {
      jti: randomUUID(),
      htm: method,
      htu: url,
      iat: Math.floor(Date.now() / 1000) - age,
      ath: token && (await accessTokenHash(token)),
      nonce,
      ...claims,
    };
    const protectedHeader = { typ: 'dpop+jwt', alg: this.#algorithm, jwk: this.publicJwk, ...header };
    return new SignJWT(withoutUndefined(payload))
      .setProtectedHeader(withoutUndefined(protectedHeader))
      .sign(this.#privateKey);
  }
}

/** An access token that is bound to `key`. Each request gets a new proof. */
export class BoundToken {
  /** The last nonce of the resource server. */
  nonce;

  constructor(token, key) {
    this.token = token;
    this.key = key;
  }

  /** The headers of one request. `changes` are changes of the proof. */
  async headers(method, url, changes = {}) {
    const { token, nonce } = this;
    return {
      authorization: `DPoP ${token}`,
      dpop: await this.key.proof({ method, url, token, nonce, ...changes }),
    };
  }
}

async function accessTokenHash(token) {
  return base64url.encode(new Uint8Array(await subtle.digest('SHA-256', Buffer.from(token))));
}
