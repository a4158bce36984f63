// The authorization server is available, but its introspection is slow, broken or invalid. Such a response is not a
// statement about the token, so the server responds with 503.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import {
  brokenOff,
  changed,
  delayed,
  hang,
  instead,
  insteadOfJson,
  once,
  onlyFor,
  reset,
  truncated,
  unchanged,
} from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { acceptedEventually, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** A response takes 3 s at most, including a retry. The rest allows for a slow machine. In milliseconds. */
const TIME_LIMIT = 3_000 + 1_500;
/** The circuit breaker opens after this many consecutive failures, at first for 5 seconds. */
const FAILURES = 5;
const PAUSE = 5_000;
const HTML = { 'content-type': 'text/html' };
const JSON_TYPE = { 'content-type': 'application/json' };
const INVALID_CLIENT = instead(401, JSON_TYPE, '{"error":"invalid_client"}');
const PAGE = '<html><body>Something went wrong</body></html>';

const { proxy, provider } = await proxiedProvider({ after });
// A redirect points to this server, which must not receive any request.
const bystander = await AuthorizationServer.start();
after(() => bystander.stop());

/** For each fault: the response, the number of attempts, and the expected log line. */
const faults = {
  'the client credentials are rejected for one token': [INVALID_CLIENT, 1, /credentials/i],
  'a firewall blocks the request': [instead(403, HTML, PAGE), 1, /status 403/],
  'the endpoint responds with 401 and an empty body': [instead(401), 1, /status 401/],
  'the endpoint responds with 400 and an empty body': [instead(400), 1, /status 400/],
  'the endpoint does not exist': [instead(404, HTML, PAGE), 1, /status 404/],
  'the endpoint redirects': [instead(307, { location: `${bystander.issuer}/token/introspection` }), 1, /status 307/],
  'the endpoint fails': [instead(500), 1, /status 500/],
  'the gateway fails twice': [instead(502, HTML, PAGE), 2, /status 502/],
  'the endpoint never responds': [hang, 1, /timed out/],
  'the response is an HTML page': [instead(200, HTML, PAGE), 1, /expected document/],
  'the response is empty': [insteadOfJson(''), 1, /expected document/],
  'the response has status 204': [instead(204), 1, /status 204/],
  'the response is an array': [insteadOfJson('[{"active":true}]'), 1, /expected document/],
  'the response does not contain active': [changed({ active: undefined }), 1, /expected document/],
  'active is a string': [changed({ active: 'true' }), 1, /expected document/],
  'active is a number': [changed({ active: 1 }), 1, /expected document/],
  'active is null': [changed({ active: null }), 1, /expected document/],
  'the JSON is truncated': [truncated, 1, /expected document/],
  'the connection closes during the response': [brokenOff, 1, /the request failed/],
  'the response is too large': [changed({ filler: 'x'.repeat(70_000) }), 1, /too large/],
};

for (const [what, [fault, attempts, logLine]] of Object.entries(faults)) {
  test(`503 and not 401: ${what}`, async (t) => {
    const server = await introspectingServer(t, provider);
    await assertUnavailableDuring(t, server, fault, logLine, attempts);
  });
}

test('503 and not 401: the connection is reset', async (t) => {
  const server = await introspectingServer(t, provider);
  await assertUnavailableDuring(t, server, reset, /closed before a response/);
});

test('503 and not 401: the endpoint does not listen', async (t) => {
  const server = await introspectingServer(t, provider);
  const cached = await acceptedToken(server);
  const token = await tokenFor(server);
  await proxy.stop();
  t.after(() => proxy.restart());

  assertUnavailable(await initialize(server.url, token));
  assertAccepted(await initialize(server.url, cached));
  await server.printed(/WARN .*mcp_bearer.*no connection/);
  await proxy.restart();
  assertAccepted(await initialize(server.url, token));
});

test('a server with MCP_LAZY=1 that starts during an outage introspects when the issuer is back', async (t) => {
  await proxy.stop();
  t.after(() => proxy.restart());
  const server = await introspectingServer(t, provider, { MCP_LAZY: '1' });
  assertUnavailable(await initialize(server.url, 'unknown-token'));

  await proxy.restart();
  await acceptedEventually(server.url, await tokenFor(server));
});

for (const status of [502, 503, 504]) {
  test(`a ${status} is retried, and the client does not notice it`, async (t) => {
    const server = await introspectingServer(t, provider);
    const before = proxy.introspections.length;
    inject(t, once(instead(status)));

    assertAccepted(await initialize(server.url, await tokenFor(server)));
    assert.equal(proxy.introspections.length, before + 2);
  });
}

test('the server waits for a response that takes 2 seconds', async (t) => {
  const server = await introspectingServer(t, provider);
  inject(t, delayed(2_000));

  assertAccepted(await initialize(server.url, await tokenFor(server)));
});

test('the endpoint rejects the client credentials from the start', async (t) => {
  const server = await introspectingServer(t, provider);
  const token = await tokenFor(server);
  inject(t, INVALID_CLIENT);

  assertUnavailable(await initialize(server.url, token));
  await server.printed(/ERROR .*mcp_bearer::introspection.*credentials/);
  proxy.fault = unchanged;
  await acceptedEventually(server.url, token, { within: 2 * PAUSE });
});

test('a token that the endpoint rejects with 400 is invalid once other tokens are accepted', async (t) => {
  const server = await introspectingServer(t, provider);
  inject(t, onlyFor('unknown-to-all', instead(400, JSON_TYPE, '{"error":"invalid_request"}')));
  assertUnavailable(await initialize(server.url, 'unknown-to-all'));
  await acceptedToken(server);
  assert.equal((await initialize(server.url, 'unknown-to-all')).status, 401);
});

for (const [status, received, expected] of [
  [503, '17', '17'],
  [429, '86400', '60'],
]) {
  test(`a ${status} with Retry-After ${received} gives a 503 with Retry-After ${expected}`, async (t) => {
    const server = await introspectingServer(t, provider);
    inject(t, instead(status, { 'retry-after': received }));

    const answer = await initialize(server.url, await tokenFor(server));
    assertUnavailable(answer);
    assert.equal(answer.headers.get('retry-after'), expected);
  });
}

test(`after ${FAILURES} consecutive failures the circuit breaker opens for a while`, async (t) => {
  const server = await introspectingServer(t, provider);
  const token = await tokenFor(server);
  const before = proxy.introspections.length;
  // The endpoint has not accepted a token yet, so the server cannot know that it works.
  inject(t, instead(429));
  for (let failure = 0; failure < FAILURES; failure += 1) assertUnavailable(await initialize(server.url, `${failure}`));
  const opened = Date.now();

  await t.test('other tokens get 503 at once', async () => {
    for (let request = 0; request < 4 * FAILURES; request += 1) {
      assertUnavailable(await initialize(server.url, `${token}${request}`));
    }
    assert.equal(proxy.introspections.length, before + FAILURES);
  });

  await t.test('the first token after the pause is introspected and accepted', async () => {
    proxy.fault = unchanged;
    await acceptedEventually(server.url, token, { within: 2 * PAUSE });
    // The tolerance allows for a clock of whole milliseconds, and for a pause that starts before the response arrives.
    assert.ok(Date.now() - opened >= PAUSE - 100, `introspected after ${Date.now() - opened} ms`);
    assert.equal(proxy.introspections.length, before + FAILURES + 1);
  });
});

test('invalid responses for unknown tokens do not affect other tokens', async (t) => {
  const server = await introspectingServer(t, provider);
  await acceptedToken(server);
  const valid = await tokenFor(server);
  inject(t, instead(401));
  for (let request = 0; request < 4 * FAILURES; request += 1) {
    assertUnavailable(await initialize(server.url, `made-up-${request}`));
  }
  proxy.fault = unchanged;
  assertAccepted(await initialize(server.url, valid));
});

test('a token whose introspection always fails does not affect other tokens', async (t) => {
  const server = await introspectingServer(t, provider);
  const [failing, valid] = [await tokenFor(server), await tokenFor(server)];
  inject(t, onlyFor(failing, instead(500)));
  for (let request = 0; request < 4 * FAILURES; request += 1) {
    assertUnavailable(await initialize(server.url, failing));
  }
  assertAccepted(await initialize(server.url, valid));
});

/** During the fault, a new token gets 503 and a cached token is accepted. Afterwards, the new token is accepted. */
async function assertUnavailableDuring(t, server, fault, logLine, attempts) {
  const cached = await acceptedToken(server);
  const token = await tokenFor(server);
  const before = proxy.introspections.length;
  const strayRequests = bystander.requests;
  inject(t, fault);

  const start = Date.now();
  assertUnavailable(await initialize(server.url, token));
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= TIME_LIMIT, `503 after ${elapsed} ms`);
  if (attempts) assert.equal(proxy.introspections.length, before + attempts);
  assertAccepted(await initialize(server.url, cached));
  await server.printed(new RegExp(`(?=INFO|WARN|ERROR)(?=.* mcp_bearer).*${logLine.source}`, logLine.flags));
  for (const secret of [token, INTROSPECTOR.secret]) {
    assert.ok(!server.log.includes(secret), `the log contains ${secret}`);
  }
  assert.equal(bystander.requests, strayRequests);

  proxy.fault = unchanged;
  assertAccepted(await initialize(server.url, token));
}

function inject(t, fault) {
  proxy.fault = fault;
  t.after(() => (proxy.fault = unchanged));
}

async function acceptedToken(server) {
  const token = await tokenFor(server);
  assertAccepted(await initialize(server.url, token));
  return token;
}

function tokenFor({ resource }) {
  return provider.token({ resource });
}
