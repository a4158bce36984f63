// The application in `spring`, with Spring Authorization Server, as a separate process.

import { strict as assert } from 'node:assert';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BoundToken } from './dpop_key.mjs';
import { eventually } from './eventually.mjs';
import { freePort } from './free_port.mjs';
import { named } from './installed.mjs';
import { Introspector } from './introspector.mjs';
import { Program } from './program.mjs';

/** Spring stores a bcrypt hash of the secret, so each introspection costs much CPU time. */
const INTROSPECTOR = new Introspector('mcp-server', 'mcp-server-secret');
/** The settings of an MCP server that introspects opaque tokens, and caches the results for a short time. */
export const SPRING_INTROSPECTION = { ...INTROSPECTOR.environment, MCP_INTROSPECTION_CACHE_SECONDS: '2' };
/** The clients of the application, by the format of their access tokens. */
export const SPRING_CLIENTS = { JWT: client('web'), opaque: client('web-opaque') };

export class SpringServer {
  #origin;
  #program;

  /** Starts the application on a free port. It stops when `t` ends. */
  static async start(t) {
    const server = new SpringServer();
    server.#origin = `http://127.0.0.1:${await freePort()}`;
    t.after(() => server.#program.stop());
    await server.#run();
    return server;
  }

  /** Starts the application again on the same port. It loses its tokens and registrations, and has new keys. */
  async restart() {
    await this.#program.stop();
    await this.#run();
  }

  /** The first issuer. */
  get issuer() {
    return this.issuerAt('/blue');
  }

  /** Each path is an issuer. */
  issuerAt(path) {
    return `${this.#origin}${path}`;
  }

  /** Issues an access token for the client itself. `resource` is one resource or several in an array. */
  async token({ resource = [], scope = 'mcp:tools', format = 'JWT', issuer }) {
    const { access_token: token } = await this.#clientTokens({ resource, scope, format, issuer });
    return token;
  }

  /** Issues an access token that is bound to `key`. */
  async boundToken(key, { resource, format = 'JWT' }) {
    const proof = await key.proof({ url: `${this.issuer}/oauth2/token` });
    const request = { resource, scope: 'mcp:tools', format, headers: { dpop: proof } };
    const { access_token: token, token_type: type } = await this.#clientTokens(request);
    assert.equal(type, 'DPoP');
    return new BoundToken(token, key);
  }

  /** Returns new tokens for a refresh token of the client with tokens of this format. */
  refresh(refreshToken, format) {
    return this.#tokens(format, { grant_type: 'refresh_token', refresh_token: refreshToken });
  }

  /** Registers a client that may request `scope`, and returns its metadata. */
  async register(metadata, scope) {
    const response = await fetch(`${this.issuer}/oauth2/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...metadata, scope }),
    });
    assert.equal(response.status, 201);
    return response.json();
  }

  /** Revokes a token of the client with tokens of this format. */
  async revoke(token, format) {
    const response = await this.#post(this.issuer, 'revoke', format, { token });
    assert.ok(response.ok, `the revocation failed: ${response.status}`);
  }

  #clientTokens({ resource, scope, format, issuer, headers }) {
    const form = new URLSearchParams({ grant_type: 'client_credentials', scope });
    for (const value of [resource].flat()) form.append('resource', value);
    return this.#tokens(format, form, issuer, headers);
  }

  async #tokens(format, form, issuer = this.issuer, headers = {}) {
    const response = await this.#post(issuer, 'token', format, form, headers);
    const answer = await response.text();
    assert.ok(response.ok, `the token request failed: ${answer}`);
    return JSON.parse(answer);
  }

  #post(issuer, endpoint, format, form, headers = {}) {
    const { client_id: id, client_secret: secret } = SPRING_CLIENTS[format];
    return fetch(`${issuer}/oauth2/${endpoint}`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}`, ...headers },
      body: new URLSearchParams(form),
    });
  }

  async #run() {
    const program = new Program(join(named('JAVA_HOME'), 'bin', 'java'), {
      // The first level of the compiler halves the CPU time of a start.
      args: ['-XX:TieredStopAtLevel=1', `-Djava.io.tmpdir=${tmpdir()}`, '-jar', named('SPRING_JAR')],
      environment: { SERVER_PORT: new URL(this.#origin).port },
    });
    this.#program = program;
    const responds = () => fetch(`${this.issuer}/oauth2/jwks`).then(({ ok }) => ok, () => false);
    await eventually('Spring responds', () => program.exitCode !== null || responds(), { within: 60_000 });
    if (program.exitCode !== null) throw new Error(`Spring ended with ${program.exitCode}\n${program.log}`);
  }
}

function client(id) {
  return { client_id: id, client_secret: `${id}-secret` };
}
