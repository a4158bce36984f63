// A proxy in front of an authorization server. Its address is the public address of the server. It records the requests
// to the introspection endpoint, and injects faults into the responses.

import { once } from 'node:events';
import http from 'node:http';
import { buffer } from 'node:stream/consumers';

import { unchanged } from './faults.mjs';

const INTROSPECTION = '/token/introspection';
const METADATA = '/.well-known/oauth-authorization-server';

export class FaultProxy {
  /** Creates the response to each introspection request; see `faults.mjs`. */
  fault = unchanged;
  /** Creates the response for the metadata document of RFC 8414 in the same way. */
  metadataFault = unchanged;
  /** The origin that receives the forwarded requests. */
  target;
  /** One `{ method, url, headers, form }` for each introspection request. */
  introspections = [];
  /** The maximum number of concurrent introspection requests. */
  maxOpen = 0;
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

  /** Stops listening and closes every connection. Returns when the port is free. */
  async stop() {
    if (!this.#http.listening) return;
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }

  /** Listens again on the same port. */
  async restart() {
    if (this.#http?.listening) return;
    this.#http = http.createServer((request, response) => {
      // The client is gone, or sees that the connection closes.
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#http.listen(this.#port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.#port = this.#http.address().port;
  }

  async #serve(request, response) {
    const body = await buffer(request);
    const original = () => this.#forward(request, body);
    if (request.url === METADATA) return this.metadataFault(response, original);
    if (request.url !== INTROSPECTION) return unchanged(response, original);
    const { method, url, headers } = request;
    this.introspections.push({ method, url, headers, form: new URLSearchParams(body.toString()) });
    this.#open += 1;
    this.maxOpen = Math.max(this.maxOpen, this.#open);
    response.once('close', () => (this.#open -= 1));
    return this.fault(response, original, this.introspections.at(-1));
  }

  /** Forwards a request with the unchanged `Host` header, so that the metadata contains the address of the proxy. */
  async #forward({ method, url, headers }, body) {
    const request = http.request(new URL(url, this.target), { method, headers });
    request.end(body);
    const [response] = await once(request, 'response');
    return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
  }
}
