// PyPI `django-oauth-toolkit` as the authorization server, in a separate process with an in-memory database.

import { strict as assert } from 'node:assert';
import { generateKeyPairSync } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { eventually } from './eventually.mjs';
import { Introspector } from './introspector.mjs';
import { Program } from './program.mjs';

const FOLDER = join(import.meta.dirname, 'django');
const PYTHON = join(FOLDER, '.venv', 'bin', 'python');
/** Has a secret with non-ASCII characters, which `oidc-provider` does not allow. */
export const DJANGO_INTROSPECTOR = new Introspector('notes: the server', 's%c r+t/é"');
/** Gets tokens with client credentials, and for alice with her password. Neither needs a browser. */
const CLIENT = { client_id: 'batch', client_secret: 'a-secret-of-the-test' };
const MACHINE_CLIENT = { ...CLIENT, authorization_grant_type: 'client-credentials' };
const PASSWORD_CLIENT = { ...CLIENT, client_id: 'desktop', authorization_grant_type: 'password' };
const ALICE = { username: 'alice', password: 'a-password-of-the-test' };

export class DjangoToolkit {
  #program;

  /** Without `openId`, the toolkit has its defaults: one metadata document instead of two, and no keys. */
  static async start({ openId = true } = {}) {
    const server = new DjangoToolkit();
    await assert.doesNotReject(access(PYTHON), `${PYTHON} is missing; \`tests/real/run\` installs it`);
    server.#program = new Program(PYTHON, {
      args: ['-B', join(FOLDER, 'serve.py')],
      environment: { ...(openId && { DJANGO_OPENID_KEY: privateKey() }) },
      input: JSON.stringify({ users: [ALICE], applications: applications() }),
    });
    try {
      await eventually('Django serves', () => server.#program.exitCode !== null || server.issuer, { within: 60_000 });
      assert.equal(server.#program.exitCode, null, 'Django ended');
      return server;
    } catch (error) {
      await server.stop();
      throw new Error(`${error.message}\n${server.#program.log}`);
    }
  }

  /** The first line of the output, or `undefined` before it is printed. */
  get issuer() {
    return /^(http:\S+)\n/m.exec(this.#program.log)?.[1];
  }

  stop() {
    return this.#program.stop();
  }

  /** Issues an opaque access token for the client itself and for each of `resources` (RFC 8707). */
  async token(resources, scope = 'mcp:tools') {
    const grant = { grant_type: 'client_credentials', scope };
    const { access_token: token } = await this.#tokens(MACHINE_CLIENT, grant, resources);
    return token;
  }

  /** Issues an opaque access token and a refresh token for alice. */
  tokensOfAlice(resources) {
    return this.#tokens(PASSWORD_CLIENT, { grant_type: 'password', scope: 'mcp:tools', ...ALICE }, resources);
  }

  /** Revokes a token from `token()`. */
  async revoke(token) {
    const response = await this.#post('/revoke_token/', MACHINE_CLIENT, { token });
    assert.ok(response.ok, `the revocation failed: ${response.status}`);
  }

  async #tokens(client, grant, resources) {
    const form = new URLSearchParams(grant);
    for (const resource of resources) form.append('resource', resource);
    const response = await this.#post('/token/', client, form);
    const answer = await response.text();
    assert.ok(response.ok, `the token request failed: ${answer}`);
    return JSON.parse(answer);
  }

  #post(path, client, form) {
    return fetch(`${this.issuer}${path}`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${client.client_id}:${client.client_secret}`)}` },
      body: new URLSearchParams(form),
    });
  }
}

/** The applications, with the field names of the toolkit's model. */
function applications() {
  const introspector = { client_id: DJANGO_INTROSPECTOR.id, client_secret: DJANGO_INTROSPECTOR.secret };
  return [{ ...introspector, authorization_grant_type: 'client-credentials' }, MACHINE_CLIENT, PASSWORD_CLIENT].map(
    (application) => ({ ...application, client_type: 'confidential' }),
  );
}

function privateKey() {
  const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return key.export({ type: 'pkcs8', format: 'pem' });
}
