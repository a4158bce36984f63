// The application that Ory Hydra needs beside it: the login page, the consent page, and the registration of clients.
// Hydra ignores the parameter `resource` (RFC 8707), so the registration and the consent page handle it.

import { once } from 'node:events';
import http from 'node:http';
import { text } from 'node:stream/consumers';

const HTML_ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
/** The scopes that a registered client may request, so that it can request more than at its first login. */
const SCOPES = 'openid offline_access mcp:tools write:notes';

export class HydraPages {
  /** The resource identifiers of the MCP servers. */
  resources = [];
  #hydra;
  #http;

  /** Starts the application on loopback. It stops when `t` ends. */
  static async start(t, hydra) {
    const pages = new HydraPages();
    pages.#hydra = hydra;
    pages.#http = http.createServer((request, response) =>
      pages.#answer(request, response).catch((error) => sendPage(response, 500, escape(error.stack))),
    );
    pages.#http.listen(0, '127.0.0.1');
    await once(pages.#http, 'listening');
    t.after(() => {
      pages.#http.close();
      pages.#http.closeAllConnections();
    });
    return pages;
  }

  get origin() {
    return `http://127.0.0.1:${this.#http.address().port}`;
  }

  async #answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.origin);
    switch (`${request.method} ${pathname}`) {
      case 'GET /login':
        return sendForm(response, searchParams, 'login', '<label>Name <input name="login"></label>');
      case 'GET /consent':
        return this.#askForConsent(response, searchParams);
      case 'POST /login':
        return this.#accept(request, response, 'login', (form) => ({ subject: form.get('login') }));
      case 'POST /consent':
        return this.#accept(request, response, 'consent', (_form, consent) => ({
          grant_scope: consent.requested_scope,
          grant_access_token_audience: requestedResources(consent),
        }));
      case 'POST /register':
        return this.#register(request, response);
      default:
        return sendPage(response, 404, 'Not found');
    }
  }

  async #askForConsent(response, parameters) {
    const { client, subject, requested_scope: scopes } = await this.#pending('consent', parameters);
    const items = scopes.map((scope) => `<li>${escape(scope)}</li>`).join('');
    const question = `<p>${escape(client.client_name)} asks ${escape(subject)} for:</p><ul>${items}</ul>`;
    return sendForm(response, parameters, 'consent', question);
  }

  /** Accepts the login or the consent. Hydra returns where the browser continues. */
  async #accept(request, response, step, result) {
    const form = new URLSearchParams(await text(request));
    const body = result(form, await this.#pending(step, form));
    const { redirect_to: location } = await this.#hydra.admin('PUT', requestPath(step, form, '/accept'), body);
    response.writeHead(303, { location }).end();
  }

  #pending(step, parameters) {
    return this.#hydra.admin('GET', requestPath(step, parameters));
  }

  /**
   * Registers a client at Hydra, and adds the resources to the audiences that it may request: otherwise its refresh
   * requests fail. Removes the empty members of Hydra's response, which the MCP SDKs reject.
   */
  async #register(request, response) {
    const metadata = { ...JSON.parse(await text(request)), scope: SCOPES, audience: this.resources };
    const registered = await fetch(this.#hydra.registrationEndpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(metadata),
    });
    const members = Object.entries(await registered.json()).filter(([, value]) => value !== '' && value !== null);
    response.writeHead(registered.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(Object.fromEntries(members)));
  }
}

/** The requested resources that the client may request. A refresh request fails for any other. */
function requestedResources({ request_url: url, client }) {
  const requested = new URL(url).searchParams.getAll('resource');
  return requested.filter((resource) => client.audience.includes(resource));
}

function requestPath(step, parameters, action = '') {
  const challenge = encodeURIComponent(parameters.get(`${step}_challenge`));
  return `/oauth2/auth/requests/${step}${action}?${step}_challenge=${challenge}`;
}

function sendForm(response, parameters, step, question) {
  const name = `${step}_challenge`;
  const html = `<form method="post" action="/${step}">${question}
<input type="hidden" name="${name}" value="${escape(parameters.get(name) ?? '')}">
<button>Accept</button></form>`;
  return sendPage(response, 200, html);
}

function sendPage(response, status, html) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`<!doctype html><html lang="en"><title>An application beside Hydra</title>${html}`);
}

function escape(value) {
  return value.replace(/[&<>"]/g, (character) => HTML_ENTITIES[character]);
}
