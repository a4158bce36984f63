// What an MCP client remembers about its login: an `OAuthClientProvider` of both SDKs, held in memory. It also keeps a
// trace of the client's HTTP requests.

import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';

export class OAuthSession {
  /** One `{ method, url, status, body }` per request that the client made through `fetch`. */
  trace = [];
  /** Where the client wants its user to go, once it does. */
  authorizationUrl;
  /** All of these so far. */
  authorizationUrls = [];
  #state;
  #verifier;
  #client;
  #tokens;
  #discovery;
  #grantTypes;

  /** Without `refresh`, a new token takes a new login. */
  constructor({ refresh = true } = {}) {
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
    this.#tokens = tokens;
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

  /** Lets `browser` do what the client asked for, and returns the parameters that came back to the redirect URL. */
  async approve(browser) {
    assert.ok(this.authorizationUrl, 'the client sent its user nowhere');
    const parameters = await browser.authorize(this.authorizationUrl, this.redirectUrl);
    assert.equal(parameters.get('error'), null, `the login failed: ${parameters}`);
    assert.equal(parameters.get('state'), this.#state);
    return parameters;
  }

  fetch = async (url, init = {}) => {
    const response = await fetch(url, init);
    this.trace.push({ method: init.method ?? 'GET', url: String(url), status: response.status, body: init.body });
    return response;
  };
}
