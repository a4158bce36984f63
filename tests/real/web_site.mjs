// A web site of its own: one page at every path, and the script that the page runs. To the servers of the tests it is
// another origin, so that a browser asks them what the page may send and read.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';

const SCRIPT = '/web_client.mjs';
const PAGE = '<!doctype html><html lang="en"><title>A client of the test</title>';

/** Serves on loopback as long as `t` lives; returns the origin that the site has under the name `host`. */
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
