// A session belongs to whoever opened it: its id is worth nothing in the hands of anybody else.

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
import { assertRefused } from './wire.mjs';

const TOOLS = ['add_note', 'list_notes', 'whoami'];

// The server trusts a second issuer, too, whose alice is another alice.
const elsewhere = await AuthorizationServer.start({ algorithm: 'ES256' });
after(() => elsewhere.stop());
const { provider, server } = await fixture(
  { after },
  { algorithm: 'ES256', alsoTrusts: [elsewhere.issuer], environment: { MCP_BIND_SESSIONS: '1' } },
);
const alice = await token();

for (const revision of ['2025-03-26', '2025-06-18', '2025-11-25']) {
  test(`two users who log in each have a session of ${revision}, and neither can use the other's`, async () => {
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

const strangers = {
  'another user of the same client': () => token({ sub: 'bob' }),
  'the same user with another client': () => token({ client_id: 'another' }),
  'the same user without a client': () => token({ client_id: undefined }),
  'the user of that name of another issuer': () =>
    elsewhere.key.sign(accessTokenClaims(elsewhere.issuer, server.resource)),
  'a user whose name and client only together read the same': () =>
    token({ sub: 'alicesigned', client_id: '-by-the-test' }),
};

for (const [name, makeToken] of Object.entries(strangers)) {
  test(`${name} gets 404 for a session, as for one that never was, and does not end it`, async (t) => {
    const stranger = await makeToken();
    const session = await open(alice);
    const stream = await session.listen(t, alice);

    const answers = await session.answers(stranger);
    assertUnknown(answers);
    const madeUp = session.withId('11111111-2222-4333-8444-555555555555');
    assert.deepEqual(visible(answers), visible(await madeUp.answers(stranger)));
    assert.equal(JSON.parse(await session.call(alice, 'whoami')).subject, 'alice');
    assert.ok(stream.isOpen, 'the stream of its owner has ended');
    // It is a good token, and opens a session of its own.
    await (await open(stranger)).call(stranger, 'whoami');
  });
}

test('the same user and client go on in the session with any token of theirs', async () => {
  const session = await open(alice);

  for (const more of [await token({ scope: 'mcp:tools write:notes' }), await token({ azp: 'x', name: 'Alice' })]) {
    assert.equal(JSON.parse(await session.call(more, 'whoami')).subject, 'alice');
  }
});

const forgeries = {
  'without its binding': (id) => beforeDot(id),
  'with an empty binding': (id) => `${beforeDot(id)}.`,
  'cut short by a character': (id) => id.slice(0, -1),
  'cut short by half': (id) => id.slice(0, id.length / 2),
  'with a character more': (id) => `${id}A`,
  'with another last character': (id) => id.slice(0, -1) + (id.endsWith('A') ? 'E' : 'A'),
  'with another first character': (id) => (id.startsWith('0') ? '1' : '0') + id.slice(1),
  'in capital letters': (id) => id.toUpperCase(),
  'with a binding of zeros': (id) => `${beforeDot(id)}.${'A'.repeat(43)}`,
  "with the binding of the same user's other session": async (id) => beforeDot(id) + afterDot((await open(alice)).id),
  "with another user's binding": async (id) => {
    const bob = await token({ sub: 'bob' });
    return beforeDot(id) + afterDot((await open(bob)).id);
  },
  'bound twice': (id) => id + afterDot(id),
  'of 10,000 characters': () => 'x'.repeat(10_000),
  'that is empty': () => '',
};

for (const [name, forge] of Object.entries(forgeries)) {
  test(`a session id ${name} is unknown, even to its owner`, async () => {
    const session = await open(alice);

    assertUnknown(await session.withId(await forge(session.id)).answers(alice));
    await session.call(alice, 'whoami');
  });
}

test('a session id is no credential: without a token, or with a bad one, it gets 401', async () => {
  const session = await open(alice);
  const challenge = { resource_metadata: server.metadataUrl, scope: 'mcp:tools' };

  for (const answer of Object.values(await session.answers())) assertRefused(answer, 401, challenge);
  for (const answer of Object.values(await session.answers(await token({ exp: 1 })))) {
    assertRefused(answer, 401, { ...challenge, error: 'invalid_token' });
  }
  await session.call(alice, 'whoami');
});

test('a session that its owner has ended is unknown to its owner as well', async () => {
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
    assert.ok(sessionId, 'there is no session');

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
    assert.ok(session.trace.some(({ status }) => status === 401), 'the token was not refused');
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

/** Alice's token, with `changes` applied to its claims. */
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

/** All that a stranger can compare. */
function visible(answers) {
  return Object.values(answers).map(({ status, headers, text }) => {
    const said = [...headers].filter(([name]) => name !== 'date');
    return { status, said, text };
  });
}

function beforeDot(id) {
  return id.slice(0, id.lastIndexOf('.'));
}

/** With the dot. */
function afterDot(id) {
  return id.slice(id.lastIndexOf('.'));
}
