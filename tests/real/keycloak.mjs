// Keycloak on loopback, with the realm of `examples/keycloak`. It stores nothing: each start has a new realm with new
// keys.

import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';

import { BoundToken } from './dpop_key.mjs';
import { eventually } from './eventually.mjs';
import { freePort, isFree } from './free_port.mjs';
import { REALM_FILE } from './keycloak_example.mjs';
import { Program } from './program.mjs';
import { send } from './wire.mjs';

/** The administrator of the README. */
const ADMINISTRATOR = { KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: 'admin' };
const PASSWORD_GRANT = { grant_type: 'password', client_id: 'curl', username: 'alice', password: 'alice' };
/** The port of the README. */
const PORT = 8080;
/** The time limits of a start, in milliseconds. The first one builds Keycloak. */
const START = { within: 90_000, every: 200 };
const FIRST_START = { within: 300_000, every: 200 };

export class Keycloak {
  #installation;
  #program;

  /** Starts an installation. It stops when `t` ends. */
  static async start(t, installation) {
    const keycloak = new Keycloak(installation, (await isFree(PORT)) ? PORT : await freePort());
    t.after(() => keycloak.stop());
    await keycloak.restart();
    return keycloak;
  }

  /** Starts an installation for the first time, which builds Keycloak, and stops it. */
  static async build(installation) {
    const keycloak = new Keycloak(installation, await freePort());
    try {
      await keycloak.restart(FIRST_START);
    } finally {
      await keycloak.stop();
    }
  }

  constructor(installation, port) {
    this.#installation = installation;
    this.port = port;
    this.origin = `http://localhost:${port}`;
    this.issuer = this.realm('demo');
  }

  /** The issuer of a realm. */
  realm(name) {
    return `${this.origin}/realms/${encodeURIComponent(name)}`;
  }

  /** Starts Keycloak again on the same port, and waits until it has imported the realm. */
  async restart(limit = START) {
    const { directory, javaHome, features } = this.#installation;
    const imported = path.join(directory, 'data/import');
    mkdirSync(imported, { recursive: true });
    copyFileSync(REALM_FILE, path.join(imported, path.basename(REALM_FILE)));
    this.#program = new Program(path.join(directory, 'bin/kc.sh'), {
      args: [
        'start-dev',
        '--import-realm',
        '--db=dev-mem',
        '--http-host=127.0.0.1',
        `--http-port=${this.port}`,
        `--hostname=${this.origin}`,
        ...(features ? [`--features=${features}`] : []),
      ],
      // The second compiler of Java would use more time than it saves in a short run.
      environment: { ...ADMINISTRATOR, JAVA_HOME: javaHome, JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1' },
    });
    const ended = () => this.#program.exitCode !== null;
    try {
      await eventually('Keycloak is ready', async () => ended() || (await isRealm(this.issuer)), limit);
      if (ended()) throw new Error(`Keycloak ended with ${this.#program.exitCode}`);
    } catch (error) {
      throw new Error(`${error.message}\n${this.#program.log}`);
    }
  }

  /**
   * Gets tokens for Alice with the password grant of the client `curl`, and returns the response. Without `scope`, the
   * access token does not have an audience.
   */
  async tokens({ scope, issuer = this.issuer, headers, ...form } = { scope: 'mcp:tools' }) {
    const body = new URLSearchParams({ ...PASSWORD_GRANT, ...(scope && { scope }), ...form });
    const { status, text } = await send(tokenEndpoint(issuer), { method: 'POST', body, headers });
    if (status !== 200) throw new Error(`no token: ${status} ${text}`);
    return JSON.parse(text);
  }

  /** Gets an access token for Alice. */
  async token(options) {
    return (await this.tokens(options)).access_token;
  }

  /** Gets an access token that is bound to `key`. */
  async boundToken(key) {
    const dpop = await key.proof({ url: tokenEndpoint(this.issuer) });
    return new BoundToken(await this.token({ scope: 'mcp:tools', headers: { dpop } }), key);
  }

  /** Sends a form to an endpoint of the realm: `logout` or `revoke`. */
  async post(endpoint, form) {
    const url = `${this.issuer}/protocol/openid-connect/${endpoint}`;
    const body = new URLSearchParams({ client_id: 'curl', ...form });
    const { status, text } = await send(url, { method: 'POST', body });
    if (status >= 300) throw new Error(`${endpoint} failed: ${status} ${text}`);
  }

  async stop() {
    await this.#program?.stop();
  }
}

function tokenEndpoint(issuer) {
  return `${issuer}/protocol/openid-connect/token`;
}

function isRealm(issuer) {
  return send(issuer).then(
    ({ status }) => status === 200,
    () => false,
  );
}
