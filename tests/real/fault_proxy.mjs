// Stands before an authorization server, as the only address that the world knows it by. It keeps what is sent to the
// introspection endpoint, and spoils what is answered as it is told.

import { once } from 'node:events';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';

import { unspoilt } from './faults.mjs';

const INTROSPECTION = '/token/introspection';
const METADATA = '/.well-known/oauth-authorization-server';

export class FaultProxy {
  /** Answers each introspection from now on; see `faults.mjs`. */
  fault = unspoilt;
  /** Answers, in the same way, for the metadata document of RFC 8414. */
  metadataFault = unspoilt;
  /** The origin that requests are handed on to. */
  target;
  /** One `{ method, url, headers, form }` per introspection request. */
  introspections = [];
  /** The most introspection requests that were open at the same time. */
  mostOpen = 0;
  #open = 0;
  #http;
  #port = 0;

  static async start() {
    const proxy = new FaultProxy();
    await proxy.restart();
    return proxy;
  }

  get origin() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Stops listening and cuts off every connection; returns when the port is free. */
  async stop() {
    if (!this.#http.listening) return;
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }

  /** Listens again, on the port of before. */
  async restart() {
    if (this.#http?.listening) return;
    this.#http = http.createServer((request, response) => {
      // Whoever asked is gone, or will see the connection break.
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#http.listen(this.#port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.#port = this.#http.address().port;
  }

  async #serve(request, response) {
    const body = await buffer(request);
    const original = () => this.#ask(request, body);
    if (request.url === METADATA) return this.metadataFault(response, original);
    if (request.url !== INTROSPECTION) return unspoilt(response, original);
    const { method, url, headers } = request;
    this.introspections.push({ method, url, headers, form: new URLSearchParams(body.toString()) });
    this.#open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.#open);
    response.once('close', () => (this.#open -= 1));
    return this.fault(response, original, this.introspections.at(-1));
  }

  /** What the authorization server answers. It is told our own name, so that its metadata leads to us. */
  async #ask({ method, url, headers }, body) {
    const request = http.request(new URL(url, this.target), { method, headers });
    request.end(body);
    const [response] = await once(request, 'response');
    return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
  }
}
