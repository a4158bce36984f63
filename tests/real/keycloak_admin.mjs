// The admin API of Keycloak.

import { send } from './wire.mjs';

const PASSWORD_GRANT = { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: 'admin' };
const KEY_PROVIDER = 'org.keycloak.keys.KeyProvider';

export class KeycloakAdmin {
  static #nextPriority = 200;
  #keycloak;

  constructor(keycloak) {
    this.#keycloak = keycloak;
  }

  /** Creates a realm from the members of its representation. */
  async createRealm(realm) {
    await this.#request('POST', '', { enabled: true, ...realm });
  }

  /** Sets attributes of a client. */
  async setAttributes(clientId, attributes) {
    const [client] = await this.#request('GET', `/demo/clients?${new URLSearchParams({ clientId })}`);
    await this.#request('PUT', `/demo/clients/${client.id}`, {
      ...client,
      attributes: { ...client.attributes, ...attributes },
    });
  }

  /** Enables or disables a user. */
  async enableUser(username, enabled) {
    const [user] = await this.#request('GET', `/demo/users?${new URLSearchParams({ username, exact: true })}`);
    await this.#request('PUT', `/demo/users/${user.id}`, { ...user, enabled });
  }

  /** Adds an RSA key, which signs all new tokens: each has a higher priority than those before. */
  async addKey(name) {
    const { id } = await this.#request('GET', '/demo');
    const config = { priority: [`${KeycloakAdmin.#nextPriority}`] };
    KeycloakAdmin.#nextPriority += 1;
    const key = { name, providerId: 'rsa-generated', providerType: KEY_PROVIDER, parentId: id, config };
    await this.#request('POST', '/demo/components', key);
  }

  /** Deletes a key, also from the key set. The realm's first RSA key has the name `rsa-generated`. */
  async deleteKey(name) {
    const keys = await this.#request('GET', `/demo/components?${new URLSearchParams({ type: KEY_PROVIDER })}`);
    const { id } = keys.find((key) => key.name === name);
    await this.#request('DELETE', `/demo/components/${id}`);
  }

  async #request(method, path, json) {
    // The token is valid for one minute.
    const issuer = this.#keycloak.realm('master');
    const authorization = `Bearer ${await this.#keycloak.token({ issuer, ...PASSWORD_GRANT })}`;
    const { status, text } = await send(`${this.#keycloak.origin}/admin/realms${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      body: json && JSON.stringify(json),
    });
    if (status >= 300) throw new Error(`${method} ${path} failed: ${status} ${text}`);
    return text && JSON.parse(text);
  }
}
