// A proxy for a client that does not support tokens. It adds a token to each request, and forwards everything else
// unchanged, including `Host` and streams.

import { once } from 'node:events';
import http from 'node:http';
import { pipeline } from 'node:stream';

export class ConformanceProxy {
  #target;
  #added;
  #http;

  /** Starts a proxy for the URL `target`. Without `token`, it adds nothing. It stops when `t` ends. */
  static async start(t, target, token) {
    const proxy = new ConformanceProxy();
    proxy.#target = new URL(target);
    proxy.#added = token ? ['Authorization', `Bearer ${token}`] : [];
    proxy.#http = http.createServer((request, response) => proxy.#forward(request, response));
    t.after(() => proxy.#stop());
    proxy.#http.listen(0, '127.0.0.1');
    await once(proxy.#http, 'listening');
    return proxy;
  }

  /** The URL of `target` at the proxy. */
  get url() {
    return `http://127.0.0.1:${this.#http.address().port}${this.#target.pathname}`;
  }

  #forward(request, response) {
    const { hostname, port } = this.#target;
    const { method, url: path, rawHeaders } = request;
    const headers = [...rawHeaders, ...this.#added];
    // Each request uses a new connection, because the server may have just closed an idle one.
    const forwarded = http.request({ hostname, port, method, path, headers, agent: false });
    forwarded.once('response', (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
      // The headers of a stream must be sent before its first event.
      response.flushHeaders();
      pipeline(answer, response, () => {});
    });
    // If one side closes the connection, the other side is closed too, so that unread streams end.
    forwarded.on('error', () => response.destroy());
    response.once('close', () => forwarded.destroy());
    request.pipe(forwarded);
  }

  async #stop() {
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }
}
