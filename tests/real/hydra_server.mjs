// Ory Hydra from `hydra`, as a separate process with an in-memory database, and the pages beside it.

import { strict as assert } from 'node:assert';

import { eventually } from './eventually.mjs';
import { freePort } from './free_port.mjs';
import { HydraPages } from './hydra_pages.mjs';
import { named } from './installed.mjs';
import { Program } from './program.mjs';
import { startServer } from './server.mjs';

/** Gets tokens without a login. */
const CLIENT = { client_id: 'batch', client_secret: 'a-secret-of-the-test' };
const CLIENT_METADATA = { ...CLIENT, grant_types: ['client_credentials'], scope: 'mcp:tools write:notes' };
/** The key sets for access tokens and for ID tokens. */
const ACCESS_TOKEN_KEYS = '/keys/hydra.jwt.access-token';
const ID_TOKEN_KEYS = '/keys/hydra.openid.id-token';

export class HydraServer {
  #settings;
  #pages;
  #port;
  #adminPort;
  #program;

  /** Starts Hydra, whose access tokens are `jwt` or `opaque`, with more settings. It stops when `t` ends. */
  static async start(t, accessTokens, settings = {}) {
    const hydra = new HydraServer();
    hydra.#settings = { STRATEGIES_ACCESS_TOKEN: accessTokens, ...settings };
    hydra.#port = await freePort();
    hydra.#adminPort = await freePort();
    hydra.#pages = await HydraPages.start(t, hydra);
    t.after(() => hydra.stop());
    await hydra.#run();
    return hydra;
  }

  /** Starts Hydra again on the same ports. It loses its tokens and clients, and has new keys. */
  async restart() {
    await this.stop();
    await this.#run();
  }

  stop() {
    return this.#program.stop();
  }

  /** Hydra keeps the slash at the end, so its tokens have it too. */
  get issuer() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get registrationEndpoint() {
    return `${this.issuer}oauth2/register`;
  }

  get adminOrigin() {
    return `http://127.0.0.1:${this.#adminPort}`;
  }

  /** Only the admin port has this endpoint, which does not authenticate its callers. */
  get introspectionEndpoint() {
    return `${this.adminOrigin}/admin/oauth2/introspect`;
  }

  /** Lets the clients request tokens for `resource`. */
  async allow(resource) {
    this.#pages.resources.push(resource);
    await this.admin('PUT', `/clients/${CLIENT.client_id}`, this.#clientMetadata());
  }

  /** Issues an access token for the client itself. Hydra's parameter for the resource is `audience`. */
  async token({ resource, scope = 'mcp:tools' }) {
    const form = { grant_type: 'client_credentials', scope, ...(resource && { audience: resource }) };
    const answer = await this.#post('token', form);
    return JSON.parse(answer).access_token;
  }

  /** Revokes a token from `token()`. */
  async revoke(token) {
    await this.#post('revoke', { token });
  }

  /** Adds a key, which signs all new access tokens, and returns its key id. */
  async addKey(alg) {
    const { keys } = await this.admin('POST', ACCESS_TOKEN_KEYS, { alg, use: 'sig' });
    return keys[0].kid;
  }

  /** Deletes a key of access tokens, also from the published key set. */
  async deleteKey(kid) {
    await this.admin('DELETE', `${ACCESS_TOKEN_KEYS}/${kid}`);
  }

  /** Sends a request to the admin API. */
  async admin(method, path, json) {
    const response = await fetch(`${this.adminOrigin}/admin${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: json && JSON.stringify(json),
    });
    const answer = await response.text();
    assert.ok(response.ok, `${method} ${path} failed: ${response.status} ${answer}`);
    return answer && JSON.parse(answer);
  }

  #clientMetadata() {
    return { ...CLIENT_METADATA, audience: this.#pages.resources };
  }

  async #post(endpoint, form) {
    const response = await fetch(`${this.issuer}oauth2/${endpoint}`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${CLIENT.client_id}:${CLIENT.client_secret}`)}` },
      body: new URLSearchParams(form),
    });
    const answer = await response.text();
    assert.ok(response.ok, `the request to ${endpoint} failed: ${answer}`);
    return answer;
  }

  async #run() {
    // Plain http needs `--dev`.
    const program = new Program(named('HYDRA'), { args: ['serve', 'all', '--dev'], environment: this.#environment() });
    this.#program = program;
    const ready = () => fetch(`${this.adminOrigin}/health/ready`).then(({ ok }) => ok, () => false);
    await eventually('Hydra is ready', () => program.exitCode !== null || ready(), { within: 60_000 });
    if (program.exitCode !== null) throw new Error(`Hydra ended with ${program.exitCode}\n${program.log}`);
    // Hydra creates missing keys at the first use of a key set. They are RSA keys of 4096 bits, which takes seconds.
    for (const keys of [ACCESS_TOKEN_KEYS, ID_TOKEN_KEYS]) await this.admin('POST', keys, { alg: 'ES256', use: 'sig' });
    await this.admin('POST', '/clients', this.#clientMetadata());
  }

  #environment() {
    const { origin } = this.#pages;
    return {
      DSN: 'memory',
      LOG_LEVEL: 'error',
      // Hydra sends no statistics.
      SQA_OPT_OUT: 'true',
      // Hydra runs `go` if it is on the path.
      PATH: '',
      SECRETS_SYSTEM: 'a-secret-of-the-test',
      URLS_SELF_ISSUER: this.issuer,
      URLS_LOGIN: `${origin}/login`,
      URLS_CONSENT: `${origin}/consent`,
      SERVE_PUBLIC_HOST: '127.0.0.1',
      SERVE_PUBLIC_PORT: String(this.#port),
      SERVE_ADMIN_HOST: '127.0.0.1',
      SERVE_ADMIN_PORT: String(this.#adminPort),
      OIDC_DYNAMIC_CLIENT_REGISTRATION_ENABLED: 'true',
      // Without this, the metadata does not name a registration endpoint.
      WEBFINGER_OIDC_DISCOVERY_CLIENT_REGISTRATION_URL: `${origin}/register`,
      ...this.#settings,
    };
  }
}

/** Starts the MCP server for `hydra`, and lets its clients request tokens for it. The server stops when `t` ends. */
export async function hydraMcpServer(t, hydra, environment = {}) {
  const server = await startServer({ issuer: hydra.issuer, environment });
  t.after(() => server.stop());
  await hydra.allow(server.resource);
  return server;
}

/** The settings of an MCP server that introspects opaque tokens, and caches the results for a short time. */
export function hydraIntrospection({ introspectionEndpoint }) {
  return { MCP_INTROSPECTION_ENDPOINT: introspectionEndpoint, MCP_INTROSPECTION_CACHE_SECONDS: '2' };
}
