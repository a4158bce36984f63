// A web site with one page at every path, and the script of that page. It has another origin than the servers under
// test, so the browser applies CORS.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';

const SCRIPT = '/web_client.mjs';
const PAGE = '<!doctype html><html lang="en"><title>A client of the test</title>';

/** Serves the site on loopback until `t` ends. Returns its origin with the name `host`. */
export async function startWebSite(t, host) {
  const script = await readFile(new URL(`.${SCRIPT}`, import.meta.url));
  const site = http.createServer((request, response) => {
    const [type, body] = request.url === SCRIPT ? ['text/javascript', script] : ['text/html', PAGE];
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => {
    site.close();
    site.closeAllConnections();
  });
  return `http://${host}:${site.address().port}`;
}
