// The login state of an MCP client: an in-memory `OAuthClientProvider` for both SDKs. It also records the HTTP requests
// of the client.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';

export class OAuthSession {
  /** One `{ method, url, status, body, headers }` for each request through `fetch`. */
  trace = [];
  /** The URL of the last authorization request. */
  authorizationUrl;
  /** The URLs of all authorization requests. */
  authorizationUrls = [];
  #state;
  #verifier;
  #client;
  #tokens;
  #discovery;
  #refresh;
  #grantTypes;

  /**
   * Without `refresh`, the client does not keep refresh tokens, and must log in again for a new token. With a `DpopSession` in `dpop`, SDK 2.x requests
   * tokens that are bound to its key.
   */
  constructor({ refresh = true, dpop } = {}) {
    // Without the method, SDK 2.x does not try DPoP.
    if (dpop) this.dpop = () => dpop;
    this.#refresh = refresh;
    this.#grantTypes = ['authorization_code', ...(refresh ? ['refresh_token'] : [])];
  }

  get redirectUrl() {
    return 'http://127.0.0.1/callback';
  }

  get clientMetadata() {
    return {
      client_name: 'a client of the test',
      redirect_uris: [this.redirectUrl],
      grant_types: this.#grantTypes,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    };
  }

  state() {
    this.#state = randomUUID();
    return this.#state;
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    const { refresh_token: _refreshToken, ...others } = tokens;
    this.#tokens = this.#refresh ? tokens : others;
  }

  redirectToAuthorization(url) {
    this.authorizationUrl = url;
    this.authorizationUrls.push(url);
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  codeVerifier() {
    return this.#verifier;
  }

  discoveryState() {
    return this.#discovery;
  }

  saveDiscoveryState(state) {
    this.#discovery = state;
  }

  /** Completes the login in `browser`, and returns the query parameters of the redirect. */
  async approve(browser) {
    assert.ok(this.authorizationUrl, 'the client has not started a login');
    const parameters = await browser.authorize(this.authorizationUrl, this.redirectUrl);
    assert.equal(parameters.get('error'), null, `the login failed: ${parameters}`);
    assert.equal(parameters.get('state'), this.#state);
    return parameters;
  }

  fetch = async (url, init = {}) => {
    const response = await fetch(url, init);
    const { method = 'GET', body, headers } = init;
    this.trace.push({ method, url: String(url), status: response.status, body, headers: new Headers(headers) });
    return response;
  };
}
