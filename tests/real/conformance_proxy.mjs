// Stands before a server for a client that knows nothing of tokens: adds one to each request, and passes on everything
// else as it came, `Host` and streams included.

import { once } from 'node:events';
import http from 'node:http';
import { pipeline } from 'node:stream';

export class ConformanceProxy {
  #target;
  #added;
  #http;

  /** Before `target`, an URL; adds nothing without a `token`. It lives as long as `t`. */
  static async start(t, target, token) {
    const proxy = new ConformanceProxy();
    proxy.#target = new URL(target);
    proxy.#added = token ? ['Authorization', `Bearer ${token}`] : [];
    proxy.#http = http.createServer((request, response) => proxy.#pass(request, response));
    t.after(() => proxy.#stop());
    proxy.#http.listen(0, '127.0.0.1');
    await once(proxy.#http, 'listening');
    return proxy;
  }

  /** What `target` is called here. */
  get url() {
    return `http://127.0.0.1:${this.#http.address().port}${this.#target.pathname}`;
  }

  #pass(request, response) {
    const { hostname, port } = this.#target;
    const { method, url: path, rawHeaders } = request;
    const headers = [...rawHeaders, ...this.#added];
    // A connection for each request, so that none is handed on that the other side has just closed.
    const onward = http.request({ hostname, port, method, path, headers, agent: false });
    onward.once('response', (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
      // A stream begins before its first event.
      response.flushHeaders();
      pipeline(answer, response, () => {});
    });
    // Whoever goes away is gone for both: a stream that nobody reads has to end.
    onward.on('error', () => response.destroy());
    response.once('close', () => onward.destroy());
    request.pipe(onward);
  }

  async #stop() {
    const closed = once(this.#http, 'close');
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }
}
