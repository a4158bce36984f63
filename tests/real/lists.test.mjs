// With MCP_FILTER_LISTS=1, a list of tools contains only the tools that the client may call.

import { strict as assert } from 'node:assert';
import { after, test } from 'node:test';

import { Browser } from './browser.mjs';
import { v1 } from './client_v1.mjs';
import { v2, v2Probing } from './client_v2.mjs';
import { eventData } from './event_stream.mjs';
import { fixture } from './fixture.mjs';
import { McpSession } from './mcp_session.mjs';
import { OAuthSession } from './oauth_session.mjs';
import { request } from './wire.mjs';

const FILTERED = { MCP_FILTER_LISTS: '1' };
const SESSIONS = { MCP_BIND_SESSIONS: '1' };
const EVERYTHING = ['add_note', 'list_notes', 'whoami'];
/** The tools that a token with each scope may call. */
const CALLABLE = { 'mcp:tools': ['list_notes', 'whoami'], 'mcp:tools write:notes': EVERYTHING };

const servers = {};
for (const [kind, environment] of Object.entries({
  'JSON, filtered': FILTERED,
  'event streams, filtered': { ...FILTERED, ...SESSIONS },
  JSON: {},
  'event streams': SESSIONS,
})) {
  servers[kind] = await fixture({ after }, { algorithm: 'ES256', environment });
}

for (const [kind, { provider, server }] of Object.entries(servers)) {
  const isFiltered = kind.endsWith('filtered');

  for (const [scope, callable] of Object.entries(CALLABLE)) {
    const expected = isFiltered ? callable : EVERYTHING;

    for (const revision of ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28']) {
      test(`${kind}: a list of revision ${revision} for ${scope} has ${expected.length} tools`, async () => {
        const token = await provider.token({ resource: server.resource, scope });
        const { tools, cacheScope } = await listTools(kind, server, token, revision);

        assert.deepEqual(tools.map(({ name }) => name).toSorted(), expected);
        for (const { description, inputSchema } of tools) assert.ok(description && inputSchema.type === 'object');
        if (isFiltered) assert.equal(cacheScope, 'private');
        else assert.notEqual(cacheScope, 'private');
      });
    }

    for (const sdk of [v1, v2, v2Probing]) {
      test(`${kind}: ${sdk.name} with ${scope} lists ${expected.length} tools and calls one`, async () => {
        const session = new OAuthSession();
        const browser = new Browser();
        await sdk.login(server.url, session, browser, scope);
        const connection = await sdk.connect(server.url, session, browser);

        assert.deepEqual(await connection.toolNames(), expected);
        assert.equal((await connection.whoami()).subject, 'alice');
        await connection.close();
      });
    }
  }
}

for (const sdk of [v1, v2, v2Probing]) {
  test(`${sdk.name} lists one more tool after the user grants another scope`, async () => {
    const { provider, server } = servers['JSON, filtered'];
    const session = new OAuthSession({ refresh: false });
    session.saveClientInformation(await provider.register(session.clientMetadata, 'mcp:tools write:notes'));
    const browser = new Browser();
    const connection = await sdk.connect(server.url, session, browser);
    assert.deepEqual(await connection.toolNames(), CALLABLE['mcp:tools']);

    await sdk.login(server.url, session, browser, 'mcp:tools write:notes');
    assert.deepEqual(await connection.toolNames(), EVERYTHING);
    await connection.close();
  });
}

/** Lists the tools, in a session if the server and the revision support sessions. */
async function listTools(kind, { url }, token, revision) {
  const hasStreams = kind.startsWith('event streams');
  if (hasStreams && revision < '2026-07-28') {
    const session = await McpSession.open(url, token, revision);
    return session.request(token, 'tools/list');
  }
  const { status, headers, text } = await request(url, token, { method: 'tools/list' }, revision);
  assert.equal(status, 200, text);
  assert.match(headers.get('content-type'), hasStreams ? /^text\/event-stream\b/ : /^application\/json\b/);
  const [message] = hasStreams ? eventData(text) : [text];
  return JSON.parse(message).result;
}
