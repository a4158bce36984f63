// Requests over TLS with a client certificate, which `fetch` of Node does not support.

import { once } from 'node:events';
import https from 'node:https';
import { text } from 'node:stream/consumers';

/**
 * Sends a request on a new connection. `ca` is the certificate of the server's authority, and `certificate` the
 * client's one, if any.
 */
export async function request(url, { method = 'GET', headers = {}, body, certificate, ca }) {
  const tls = { ca, ...(certificate && { key: certificate.key, cert: certificate.cert }) };
  const sent = https.request(url, { method, headers, agent: new https.Agent(tls) });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, headers: new Headers(flat(response.rawHeaders)), text: await text(response) };
}

/** Pairs of names and values from an array with both. */
function flat(raw) {
  return Array.from({ length: raw.length / 2 }, (_, pair) => raw.slice(2 * pair, 2 * pair + 2));
}
