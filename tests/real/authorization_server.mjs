// npm `oidc-provider` as the authorization server, on a loopback port. Its access tokens are JWTs or opaque, and bound to
// a DPoP key or a client certificate if the token request proves one. It can rotate its keys without closing
// connections, fail, stop, and restart on the same port. It counts the requests that it receives.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

import { BoundToken } from './dpop_key.mjs';
import { request } from './https.mjs';
import { handleInteraction } from './interaction.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { ALGORITHMS, SigningKey } from './signing_key.mjs';

/** The scopes of every resource. A token has those that the client requested and the user granted. */
const RESOURCE_SCOPES = ['mcp:tools', 'write:notes'];
/** A preconfigured client for tokens without a login. */
const BATCH_CLIENT = { client_id: 'batch', client_secret: 'a-secret-of-the-test' };
/** The same for a client whose tokens are bound to its certificate. */
const CERTIFICATE_CLIENT = { client_id: 'batch-with-certificate', client_secret: 'a-secret-of-the-test' };
const HOUR = 3600;
/** The first key of every key set, which a verifier must skip. Created once, because creating RSA keys is slow. */
const ENCRYPTION_KEY = await encryptionKey();

async function encryptionKey() {
  const { privateKey } = await generateKeyPair('RSA-OAEP-256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: 'for-encryption', use: 'enc', alg: 'RSA-OAEP-256' };
}

export class AuthorizationServer {
  /** The format of the next access token for a resource: `jwt` or `opaque`. */
  accessTokenFormat;
  /** The lifetime of the next access token, in seconds. */
  accessTokenLifetime = HOUR;
  #algorithm;
  #path;
  #publicIssuer;
  #keys;
  #requiresNonces;
  #nonceSecret = randomBytes(32);
  #http;
  #port = 0;
  #https;
  #answer;
  #requests = [];
  // Keeps registrations, sessions and grants when keys rotate and when the server restarts.
  #adapter = createMemoryAdapter();

  /**
   * `path` is the path of the issuer, for issuers that are not a bare origin. `issuer` is the public issuer identifier
   * of a server behind a proxy. With `nonces`, each DPoP proof needs a nonce. With the certificate `tls`, the server
   * also listens with TLS, for clients with certificates.
   */
  static async start({
    algorithm = 'RS256',
    keys,
    path = '',
    issuer,
    accessTokenFormat = 'jwt',
    nonces = false,
    tls,
  } = {}) {
    const server = new AuthorizationServer();
    server.accessTokenFormat = accessTokenFormat;
    server.#requiresNonces = nonces;
    server.#algorithm = algorithm;
    server.#path = path;
    server.#publicIssuer = issuer;
    server.#keys = keys ?? [await SigningKey.generate(algorithm)];
    await server.#listen();
    server.rotate(server.#keys);
    if (tls) await server.#listenWithTls(tls);
    return server;
  }

  get issuer() {
    return this.#publicIssuer ?? `${this.origin}${this.#path}`;
  }

  /** The origin that the server listens on. */
  get origin() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The key that signs the next token. */
  get key() {
    return this.#keys[0];
  }

  get keys() {
    return [...this.#keys];
  }

  /** Publishes `keys` and signs with the first. Connections stay open. */
  rotate(keys) {
    this.#keys = keys;
    const provider = new Provider(this.issuer, this.#configuration());
    const callback = provider.callback();
    this.#answer = (request, response) => {
      if (request.url.startsWith('/interaction/')) return handleInteraction(provider, request, response);
      return callback(request, response);
    };
  }

  /** Makes every following request fail with status 500. */
  breakDown() {
    this.#answer = (_request, response) => response.writeHead(500).end();
  }

  /** Stops listening and closes every connection. Returns when the port is free. */
  async stop() {
    for (const listener of [this.#http, this.#https]) {
      if (!listener?.listening) continue;
      const closed = once(listener, 'close');
      listener.close();
      listener.closeAllConnections();
      await closed;
    }
  }

  /** Listens again on the same port. */
  async restart({ keys = this.#keys } = {}) {
    await this.#listen();
    this.rotate(keys);
  }

  /** Issues an access token without a login (client credentials). Without `resource`, the token is opaque. */
  async token({ resource, scope = 'mcp:tools' }) {
    const form = { grant_type: 'client_credentials', scope, ...(resource && { resource }) };
    const response = await this.#postAsBatchClient('/token', form);
    const answer = await response.json();
    if (!response.ok) throw new Error(`the token request failed: ${JSON.stringify(answer)}`);
    return answer.access_token;
  }

  /** Issues a token that is bound to `key`, also without a login. */
  async boundToken(key, { resource, scope = 'mcp:tools' }) {
    const form = { grant_type: 'client_credentials', scope, resource };
    const url = `${this.issuer}/token`;
    let nonce;
    for (;;) {
      const dpop = await key.proof({ url, nonce });
      const response = await this.#postAsBatchClient('/token', form, { dpop });
      const answer = await response.json();
      if (response.ok) {
        if (answer.token_type !== 'DPoP') throw new Error(`the token type is ${answer.token_type}`);
        return new BoundToken(answer.access_token, key);
      }
      // Without a nonce, the server sends one. A second rejection is an error.
      if (nonce || answer.error !== 'use_dpop_nonce') throw new Error(`the token request failed: ${answer.error}`);
      nonce = response.headers.get('dpop-nonce');
    }
  }

  /** Issues a token that is bound to the client certificate of the connection, also without a login. */
  async certificateToken(certificate, ca, { resource, scope = 'mcp:tools' }) {
    const { port } = this.#https.address();
    const { status, text } = await request(`https://127.0.0.1:${port}${this.#path}/token`, {
      method: 'POST',
      headers: {
        authorization: basic(CERTIFICATE_CLIENT),
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope, resource }).toString(),
      certificate,
      ca,
    });
    if (status !== 200) throw new Error(`the token request failed: ${text}`);
    return JSON.parse(text).access_token;
  }

  /** Revokes an opaque token from `token()`, or from a login of the client `clientId`. */
  async revoke(token, clientId) {
    const response = clientId
      ? await fetch(`${this.issuer}/token/revocation`, {
          method: 'POST',
          body: new URLSearchParams({ token, client_id: clientId }),
        })
      : await this.#postAsBatchClient('/token/revocation', { token });
    if (!response.ok) throw new Error(`the revocation failed: ${await response.text()}`);
  }

  /** Introspects a token as the MCP server does. */
  async introspect(token) {
    const response = await fetch(`${this.issuer}/token/introspection`, {
      method: 'POST',
      headers: { authorization: basic({ client_id: INTROSPECTOR.id, client_secret: INTROSPECTOR.secret }) },
      body: new URLSearchParams({ token }),
    });
    if (!response.ok) throw new Error(`the introspection failed: ${await response.text()}`);
    return response.json();
  }

  /** Registers a client as it registers itself, but with the scopes in `scope`. */
  async register(clientMetadata, scope) {
    const response = await fetch(`${this.issuer}/reg`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...clientMetadata, scope }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`the registration failed: ${JSON.stringify(answer)}`);
    return { ...answer, issuer: this.issuer };
  }

  /** The number of all requests. */
  get requests() {
    return this.#requests.length;
  }

  get keySetFetches() {
    return this.#requests.filter((path) => path.endsWith('/jwks')).length;
  }

  get introspections() {
    return this.#requests.filter((path) => path.endsWith('/token/introspection')).length;
  }

  /** The number of requests for the metadata document that a client requests first. */
  get metadataFetches() {
    return this.#requests.filter((path) => path.startsWith('/.well-known/oauth-authorization-server')).length;
  }

  #postAsBatchClient(path, form, headers = {}) {
    return fetch(`${this.issuer}${path}`, {
      method: 'POST',
      headers: { authorization: basic(BATCH_CLIENT), ...headers },
      body: new URLSearchParams(form),
    });
  }

  async #listen() {
    this.#http = http.createServer((request, response) => this.#serve(request, response));
    this.#http.listen(this.#port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.#port = this.#http.address().port;
  }

  async #listenWithTls({ key, cert }) {
    // RFC 8705 needs no certificate authority for clients: the token is bound to the certificate itself.
    const options = { key, cert, requestCert: true, rejectUnauthorized: false };
    this.#https = https.createServer(options, (request, response) => this.#serve(request, response));
    this.#https.listen(0, '127.0.0.1');
    await once(this.#https, 'listening');
  }

  #serve(request, response) {
    const path = request.url.split('?')[0];
    this.#requests.push(path);
    if (!path.startsWith(`${this.#path}/`)) return response.writeHead(404).end();
    // Mounts the provider below the path, as express does.
    request.originalUrl = request.url;
    request.url = request.url.slice(this.#path.length);
    return this.#answer(request, response);
  }

  #configuration() {
    return {
      adapter: this.#adapter,
      jwks: { keys: [ENCRYPTION_KEY, ...this.#keys.map((key) => key.jwk)] },
      enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
      clientDefaults: { id_token_signed_response_alg: this.#algorithm },
      clients: [
        {
          ...BATCH_CLIENT,
          grant_types: ['client_credentials'],
          redirect_uris: [],
          response_types: [],
          scope: RESOURCE_SCOPES.join(' '),
        },
        {
          ...CERTIFICATE_CLIENT,
          grant_types: ['client_credentials'],
          redirect_uris: [],
          response_types: [],
          scope: RESOURCE_SCOPES.join(' '),
          tls_client_certificate_bound_access_tokens: true,
        },
        {
          client_id: INTROSPECTOR.id,
          client_secret: INTROSPECTOR.secret,
          grant_types: [],
          redirect_uris: [],
          response_types: [],
        },
      ],
      cookies: { keys: ['a-cookie-key-of-the-test'] },
      findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      interactions: { url: (_context, interaction) => `${this.#path}/interaction/${interaction.uid}` },
      pkce: { required: () => true },
      scopes: ['openid', 'offline_access', ...RESOURCE_SCOPES],
      ttl: {
        AccessToken: () => this.accessTokenLifetime,
        ClientCredentials: () => this.accessTokenLifetime,
        Grant: HOUR,
        IdToken: HOUR,
        Interaction: HOUR,
        RefreshToken: HOUR,
        Session: HOUR,
      },
      clientBasedCORS: () => false,
      issueRefreshToken: (_context, client) => client.grantTypeAllowed('refresh_token'),
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        dPoP: {
          enabled: true,
          ...(this.#requiresNonces && { nonceSecret: this.#nonceSecret, requireNonce: () => true }),
        },
        encryption: { enabled: true },
        introspection: {
          enabled: true,
          allowedPolicy: (_context, client) => client.clientId === INTROSPECTOR.id,
        },
        mTLS: {
          enabled: true,
          certificateBoundAccessTokens: true,
          getCertificate: (context) => peerCertificate(context.req.socket),
        },
        registration: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => undefined,
          useGrantedResource: () => true,
          getResourceServerInfo: (_context, resource) => ({
            scope: RESOURCE_SCOPES.join(' '),
            audience: resource,
            accessTokenFormat: this.accessTokenFormat,
            jwt: { sign: { alg: this.#algorithm } },
          }),
        },
        revocation: {
          enabled: true,
          allowedPolicy: (_context, client, token) => client.clientId === token.clientId,
        },
      },
    };
  }
}

function basic({ client_id: id, client_secret: secret }) {
  return `Basic ${btoa(`${formEncoded(id)}:${formEncoded(secret)}`)}`;
}

function formEncoded(text) {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

/** The client certificate of a connection, or `undefined` without one. */
function peerCertificate(socket) {
  return socket.getPeerX509Certificate?.();
}
