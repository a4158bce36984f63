// A session is bound to the user that opened it. Another user cannot use its id.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { AuthorizationServer } from './authorization_server.mjs';
import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2 } from './client_v2.mjs';
import { fixture } from './fixture.mjs';
import { McpSession } from './mcp_session.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { accessTokenClaims } from './signing_key.mjs';
import { assertRejected } from './wire.mjs';

const TOOLS = ['add_note', 'list_notes', 'whoami'];

// The server also accepts tokens of a second issuer, whose user alice is another user.
const otherIssuer = await AuthorizationServer.start({ algorithm: 'ES256' });
after(() => otherIssuer.stop());
const { provider, server } = await fixture(
  { after },
  { algorithm: 'ES256', alsoTrusts: [otherIssuer.issuer], environment: { MCP_BIND_SESSIONS: '1' } },
);
const alice = await token();

for (const revision of ['2025-03-26', '2025-06-18', '2025-11-25']) {
  test(`two users have sessions of ${revision}, and neither can use the session of the other`, async () => {
    const [alice, bob] = await Promise.all([logIn(`alice-${revision}`), logIn(`bob-${revision}`)]);
    const [hers, his] = await Promise.all([open(alice.token, revision), open(bob.token, revision)]);
    await hers.call(alice.token, 'add_note', { text: 'of alice' });
    await his.call(bob.token, 'add_note', { text: 'of bob' });

    assertUnknown(await hers.answers(bob.token));
    assertUnknown(await his.answers(alice.token));
    assert.deepEqual(await notes(hers, alice.token), ['of alice']);
    assert.deepEqual(await notes(his, bob.token), ['of bob']);

    const before = alice.token;
    await v1.refresh(server.url, alice.session);
    assert.notEqual(alice.token, before);
    assert.deepEqual(await notes(hers, alice.token), ['of alice']);
    assert.equal(await hers.end(alice.token), 202);
    assertUnknown(await hers.answers(bob.token));
  });
}

const otherUsers = {
  'another user of the same client': () => token({ sub: 'bob' }),
  'the same user with another client': () => token({ client_id: 'another' }),
  'the same user without a client': () => token({ client_id: undefined }),
  'the user with the same name at another issuer': () =>
    otherIssuer.key.sign(accessTokenClaims(otherIssuer.issuer, server.resource)),
  'a user whose concatenated name and client id are the same': () =>
    token({ sub: 'alicesigned', client_id: '-by-the-test' }),
};

for (const [name, makeToken] of Object.entries(otherUsers)) {
  test(`${name} gets 404 for the session, as for an unknown one, and does not end it`, async (t) => {
    const otherToken = await makeToken();
    const session = await open(alice);
    const stream = await session.listen(t, alice);

    const answers = await session.answers(otherToken);
    assertUnknown(answers);
    const unknownSession = session.withId('11111111-2222-4333-8444-555555555555');
    assert.deepEqual(visible(answers), visible(await unknownSession.answers(otherToken)));
    assert.equal(JSON.parse(await session.call(alice, 'whoami')).subject, 'alice');
    assert.ok(stream.isOpen, 'the stream of the owner has ended');
    // The token is valid, and can open its own session.
    await (await open(otherToken)).call(otherToken, 'whoami');
  });
}

test('the same user and client can use the session with any of their tokens', async () => {
  const session = await open(alice);

  for (const more of [await token({ scope: 'mcp:tools write:notes' }), await token({ azp: 'x', name: 'Alice' })]) {
    assert.equal(JSON.parse(await session.call(more, 'whoami')).subject, 'alice');
  }
});

const forgeries = {
  'without its binding': (id) => beforeDot(id),
  'with an empty binding': (id) => `${beforeDot(id)}.`,
  'without its last character': (id) => id.slice(0, -1),
  'cut in half': (id) => id.slice(0, id.length / 2),
  'with an additional character': (id) => `${id}A`,
  'with another last character': (id) => id.slice(0, -1) + (id.endsWith('A') ? 'E' : 'A'),
  'with another first character': (id) => (id.startsWith('0') ? '1' : '0') + id.slice(1),
  'in capital letters': (id) => id.toUpperCase(),
  'with a binding of zeros': (id) => `${beforeDot(id)}.${'A'.repeat(43)}`,
  "with the binding of the same user's other session": async (id) => beforeDot(id) + afterDot((await open(alice)).id),
  "with another user's binding": async (id) => {
    const bob = await token({ sub: 'bob' });
    return beforeDot(id) + afterDot((await open(bob)).id);
  },
  'with its binding twice': (id) => id + afterDot(id),
  'of 10,000 characters': () => 'x'.repeat(10_000),
  'that is empty': () => '',
};

for (const [name, forge] of Object.entries(forgeries)) {
  test(`a session id ${name} is unknown, even for its owner`, async () => {
    const session = await open(alice);

    assertUnknown(await session.withId(await forge(session.id)).answers(alice));
    await session.call(alice, 'whoami');
  });
}

test('a session id does not replace a token: without one, or with an invalid one, it gets 401', async () => {
  const session = await open(alice);
  const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

  for (const answer of Object.values(await session.answers())) assertRejected(answer, 401, challenge);
  for (const answer of Object.values(await session.answers(await token({ exp: 1 })))) {
    assertRejected(answer, 401, { ...challenge, error: 'invalid_token' });
  }
  await session.call(alice, 'whoami');
});

test('a session that its owner has ended is unknown', async () => {
  const session = await open(alice);
  assert.equal(await session.end(alice), 202);

  const { POST, GET } = await session.answers(alice);
  assert.deepEqual([POST.status, GET.status], [404, 404]);
});

for (const sdk of [v1, v2]) {
  test(`${sdk.name} initializes, lists, calls and ends its session`, async () => {
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const { sessionId } = connection;
    assert.ok(sessionId, 'the server did not open a session');

    assert.deepEqual(await connection.toolNames(), TOOLS);
    assert.equal((await connection.whoami()).subject, 'alice');
    await connection.close();
    const { method, status } = session.trace.at(-1);
    assert.deepEqual([method, status], ['DELETE', 202]);
    const left = new McpSession(server.url, '2025-11-25', sessionId);
    assert.equal((await left.answers(session.tokens().access_token)).POST.status, 404);
  });

  test(`${sdk.name} keeps its session when it refreshes its token`, async () => {
    const session = new OAuthSession();
    const connection = await sdk.connect(server.url, session, new Browser());
    const { sessionId } = connection;
    const { client_id } = session.clientInformation();
    session.saveTokens({ ...session.tokens(), access_token: await token({ client_id, exp: 1 }) });

    assert.equal((await connection.whoami()).subject, 'alice');
    assert.ok(session.trace.some(({ status }) => status === 401), 'the token was not rejected');
    assert.equal(connection.sessionId, sessionId);
    await connection.close();
  });
}

async function logIn(name) {
  const session = new OAuthSession();
  await v1.login(server.url, session, new Browser(name), 'mcp:tools write:notes');
  return {
    session,
    get token() {
      return session.tokens().access_token;
    },
  };
}

/** A token of alice, with `changes` applied to its claims. */
function token(changes) {
  return provider.key.sign(accessTokenClaims(provider.issuer, server.resource, changes));
}

function open(token, revision) {
  return McpSession.open(server.url, token, revision);
}

async function notes(session, token) {
  return JSON.parse(await session.call(token, 'list_notes'));
}

function assertUnknown(answers) {
  for (const [method, { status, headers, text }] of Object.entries(answers)) {
    assert.equal(status, 404, `${method}: ${status} ${text}`);
    assert.equal(headers.get('mcp-session-id'), null);
    assert.equal(headers.get('www-authenticate'), null);
    assert.equal(JSON.parse(text).error.message, 'Session not found');
  }
}

/** The parts of the responses that a client can compare. */
function visible(answers) {
  return Object.values(answers).map(({ status, headers, text }) => {
    const visibleHeaders = [...headers].filter(([name]) => name !== 'date');
    return { status, visibleHeaders, text };
  });
}

function beforeDot(id) {
  return id.slice(0, id.lastIndexOf('.'));
}

/** Includes the dot. */
function afterDot(id) {
  return id.slice(id.lastIndexOf('.'));
}
