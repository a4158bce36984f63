// The authorization server is there, but its introspection is slow, broken, or not what it should be. None of that
// says anything about a token.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { brokenOff, changed, hang, instead, insteadOfJson, late, once, onlyFor, reset, truncated, unspoilt } from './faults.mjs';
import { introspectingServer, proxiedProvider } from './fixture.mjs';
import { INTROSPECTOR } from './introspector.mjs';
import { acceptedAtLast, assertAccepted, assertUnavailable, initialize } from './wire.mjs';

/** An answer takes 3 seconds at most, its second attempt included; what is more is this machine's, in milliseconds. */
const LONGEST = 3_000 + 1_500;
/** Failures in a row after which the server asks nobody for a while: 5 seconds at first. */
const FAILURES = 5;
const PAUSE = 5_000;
const HTML = { 'content-type': 'text/html' };
const JSON_TYPE = { 'content-type': 'application/json' };
const PAGE = '<html><body>Something went wrong</body></html>';

const { proxy, provider } = await proxiedProvider({ after });
// Whatever the introspection endpoint says, this server has to hear nothing of it.
const bystander = await AuthorizationServer.start();
after(() => bystander.stop());

/** What comes of one introspection, how often it is asked for, and what the log says about it. */
const faults = {
  'our credentials are refused for one token': [instead(401, JSON_TYPE, '{"error":"invalid_client"}'), 1, /credentials/i],
  'a firewall blocks it': [instead(403, HTML, PAGE), 1, /status 403/],
  'it is refused without a word': [instead(401), 1, /status 401/],
  'our request is refused without a word': [instead(400), 1, /status 400/],
  'there is no such endpoint': [instead(404, HTML, PAGE), 1, /status 404/],
  'we are sent elsewhere': [instead(307, { location: `${bystander.issuer}/token/introspection` }), 1, /status 307/],
  'it fails': [instead(500), 1, /status 500/],
  'its gateway fails, twice': [instead(502, HTML, PAGE), 2, /status 502/],
  'it never answers': [hang, 1, /in time/],
  'it answers with a page': [instead(200, HTML, PAGE), 1, /expected document/],
  'it answers with nothing': [insteadOfJson(''), 1, /expected document/],
  'it answers with no content': [instead(204), 1, /status 204/],
  'it answers with an array': [insteadOfJson('[{"active":true}]'), 1, /expected document/],
  'it answers without active': [changed({ active: undefined }), 1, /expected document/],
  'active is a text': [changed({ active: 'true' }), 1, /expected document/],
  'active is a number': [changed({ active: 1 }), 1, /expected document/],
  'active is null': [changed({ active: null }), 1, /expected document/],
  'its JSON is cut short': [truncated, 1, /expected document/],
  'its answer breaks off': [brokenOff, 1, /the request failed/],
  'its answer is too large': [changed({ filler: 'x'.repeat(70_000) }), 1, /too large/],
};

for (const [what, [fault, attempts, says]] of Object.entries(faults)) {
  test(`503 and not 401: ${what}`, async (t) => {
    const server = await introspectingServer(t, provider);
    await putsOff(t, server, fault, says, attempts);
  });
}

test('503 and not 401: the connection is reset', async (t) => {
  const server = await introspectingServer(t, provider);
  await putsOff(t, server, reset, /closed before a response/);
});

test('503 and not 401: nobody listens', async (t) => {
  const server = await introspectingServer(t, provider);
  const known = await acceptedToken(server);
  const token = await tokenFor(server);
  await proxy.stop();
  t.after(() => proxy.restart());

  assertUnavailable(await initialize(server.url, token));
  assertAccepted(await initialize(server.url, known));
  await server.printed(/WARN mcp_bearer.*no connection/);
  await proxy.restart();
  assertAccepted(await initialize(server.url, token));
});

test('a server with MCP_LAZY=1 that starts while its issuer is away asks once that is back', async (t) => {
  await proxy.stop();
  t.after(() => proxy.restart());
  const server = await introspectingServer(t, provider, { MCP_LAZY: '1' });
  assertUnavailable(await initialize(server.url, 'nobody-knows-yet'));

  await proxy.restart();
  await acceptedAtLast(server.url, await tokenFor(server));
});

for (const status of [502, 503, 504]) {
  test(`a ${status} is asked again, and then goes unnoticed`, async (t) => {
    const server = await introspectingServer(t, provider);
    const before = proxy.introspections.length;
    inject(t, once(instead(status)));

    assertAccepted(await initialize(server.url, await tokenFor(server)));
    assert.equal(proxy.introspections.length, before + 2);
  });
}

test('an answer that takes 2 seconds is waited for', async (t) => {
  const server = await introspectingServer(t, provider);
  inject(t, late(2_000));

  assertAccepted(await initialize(server.url, await tokenFor(server)));
});

test('our credentials are refused from the start', async (t) => {
  const server = await introspectingServer(t, provider);
  const token = await tokenFor(server);
  inject(t, instead(401, JSON_TYPE, '{"error":"invalid_client"}'));

  assertUnavailable(await initialize(server.url, token));
  await server.printed(/ERROR mcp_bearer::introspection.*credentials/);
  proxy.fault = unspoilt;
  await acceptedAtLast(server.url, token, { within: 2 * PAUSE });
});

test('a token that the server rejects is invalid once other tokens are accepted', async (t) => {
  const server = await introspectingServer(t, provider);
  inject(t, onlyFor('unknown-to-all', instead(400, JSON_TYPE, '{"error":"invalid_request"}')));
  assertUnavailable(await initialize(server.url, 'unknown-to-all'));
  await acceptedToken(server);
  assert.equal((await initialize(server.url, 'unknown-to-all')).status, 401);
});

for (const [status, said, told] of [
  [503, '17', '17'],
  [429, '86400', '60'],
]) {
  test(`a ${status} that names ${said} seconds makes our 503 name ${told}`, async (t) => {
    const server = await introspectingServer(t, provider);
    inject(t, instead(status, { 'retry-after': said }));

    const answer = await initialize(server.url, await tokenFor(server));
    assertUnavailable(answer);
    assert.equal(answer.headers.get('retry-after'), told);
  });
}

test(`after ${FAILURES} failures in a row nobody is asked, for a while`, async (t) => {
  const server = await introspectingServer(t, provider);
  const token = await tokenFor(server);
  const before = proxy.introspections.length;
  // No token was accepted before: nothing shows that the endpoint works.
  inject(t, instead(429));
  for (let failure = 0; failure < FAILURES; failure += 1) assertUnavailable(await initialize(server.url, `${failure}`));
  const opened = Date.now();

  await t.test('other tokens are put off at once', async () => {
    for (let request = 0; request < 4 * FAILURES; request += 1) {
      assertUnavailable(await initialize(server.url, `${token}${request}`));
    }
    assert.equal(proxy.introspections.length, before + FAILURES);
  });

  await t.test('the first token after the pause is asked for, and accepted', async () => {
    proxy.fault = unspoilt;
    await acceptedAtLast(server.url, token, { within: 2 * PAUSE });
    // A clock of whole milliseconds, and a pause that was counted from before we were answered.
    assert.ok(Date.now() - opened >= PAUSE - 100, `asked after ${Date.now() - opened} ms`);
    assert.equal(proxy.introspections.length, before + FAILURES + 1);
  });
});

test('odd answers to made-up tokens suspend introspection for nobody else', async (t) => {
  const server = await introspectingServer(t, provider);
  await acceptedToken(server);
  const good = await tokenFor(server);
  inject(t, instead(401));
  for (let request = 0; request < 4 * FAILURES; request += 1) {
    assertUnavailable(await initialize(server.url, `made-up-${request}`));
  }
  proxy.fault = unspoilt;
  assertAccepted(await initialize(server.url, good));
});

test('a token that introspection cannot bear suspends it for nobody else', async (t) => {
  const server = await introspectingServer(t, provider);
  const [unbearable, good] = [await tokenFor(server), await tokenFor(server)];
  inject(t, onlyFor(unbearable, instead(500)));
  for (let request = 0; request < 4 * FAILURES; request += 1) {
    assertUnavailable(await initialize(server.url, unbearable));
  }
  assertAccepted(await initialize(server.url, good));
});

/** A token that nobody has asked for is put off while the fault lasts and good after it; one that is known is good. */
async function putsOff(t, server, fault, says, attempts) {
  const known = await acceptedToken(server);
  const token = await tokenFor(server);
  const before = proxy.introspections.length;
  const strays = bystander.requests;
  inject(t, fault);

  const start = Date.now();
  assertUnavailable(await initialize(server.url, token));
  const elapsed = Date.now() - start;
  assert.ok(elapsed <= LONGEST, `put off after ${elapsed} ms`);
  if (attempts) assert.equal(proxy.introspections.length, before + attempts);
  assertAccepted(await initialize(server.url, known));
  await server.printed(new RegExp(`(?=INFO|WARN|ERROR)(?=.* mcp_bearer).*${says.source}`, says.flags));
  for (const secret of [token, INTROSPECTOR.secret]) assert.ok(!server.log.includes(secret), `logged: ${secret}`);
  assert.equal(bystander.requests, strays);

  proxy.fault = unspoilt;
  assertAccepted(await initialize(server.url, token));
}

function inject(t, fault) {
  proxy.fault = fault;
  t.after(() => (proxy.fault = unspoilt));
}

async function acceptedToken(server) {
  const token = await tokenFor(server);
  assertAccepted(await initialize(server.url, token));
  return token;
}

function tokenFor({ resource }) {
  return provider.token({ resource });
}
