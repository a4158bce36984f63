// Plain HTTP requests to the server under test, and assertions about its responses.

import { strict as assert } from 'node:assert';

import { parseChallenge, parseChallenges } from './challenge.mjs';
import { eventually } from './eventually.mjs';

const INITIALIZE = {
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'real-tests', version: '1.0.0' } },
};
const WHOAMI = { method: 'tools/call', params: { name: 'whoami', arguments: {} } };
/** The first revision without sessions. Each of its requests contains the revision, and headers for its operation. */
const WITHOUT_SESSIONS = '2026-07-28';
/** The maximum value of `Retry-After`, in seconds. */
const MAX_RETRY_AFTER = 60;

/**
 * Sends the first request of an MCP session, which is the only one without a session id. Here and below, a token is a
 * bearer token as a string, or a `BoundToken`.
 */
export function initialize(url, token, headers) {
  return post(url, token, INITIALIZE, headers);
}

/** The method, headers and body of that request. */
export function initializeRequest(url, token, headers) {
  return postRequest(url, token, INITIALIZE, headers);
}

/** Returns the identity that the server derives from `token`. */
export async function whoami(url, token) {
  const answer = await post(url, token, WHOAMI);
  assert.equal(answer.status, 200, describe(answer));
  return JSON.parse(JSON.parse(answer.text).result.content[0].text);
}

/** Sends a request as a client of `revision` does. */
export function request(url, token, { method, params = {} }, revision) {
  if (revision < WITHOUT_SESSIONS) return post(url, token, { method, params }, { 'mcp-protocol-version': revision });
  const meta = {
    'io.modelcontextprotocol/protocolVersion': revision,
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  return post(
    url,
    token,
    { method, params: { ...params, _meta: meta } },
    { 'mcp-protocol-version': revision, 'mcp-method': method, ...(params.name && { 'mcp-name': params.name }) },
  );
}

async function post(url, token, message, headers) {
  return send(url, await postRequest(url, token, message, headers));
}

async function postRequest(url, token, message, headers = {}) {
  return {
    method: 'POST',
    headers: { ...(await mcpHeaders('POST', url, token)), ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...message }),
  };
}

/** The headers of an MCP request, with those of its token. */
export async function mcpHeaders(method, url, token) {
  return {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    ...(await authorization(method, url, token)),
  };
}

function authorization(method, url, token) {
  if (token === undefined) return {};
  return typeof token === 'string' ? { authorization: `Bearer ${token}` } : token.headers(method, url);
}

export async function send(url, init) {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Asserts that the request reached the MCP server. */
export function assertAccepted(answer) {
  assert.equal(answer.status, 200, describe(answer));
  assert.match(answer.text, /"protocolVersion"/);
}

/** Asserts a rejection with `status` and a challenge that has exactly the parameters `expected`. */
export function assertRejected(answer, status, expected) {
  assert.equal(answer.status, status, describe(answer));
  const { error_description: description, ...challenge } = parseChallenge(answer.headers.get('www-authenticate'));
  assert.deepEqual(challenge, expected);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  if (!expected.error) return;
  assert.match(answer.headers.get('content-type'), /^application\/json\b/);
  const body = JSON.parse(answer.text);
  assert.equal(body.error, expected.error);
  if (description !== undefined) assert.equal(body.error_description, description);
}

/**
 * Asserts a rejection with 401 and two challenges: `Bearer` first, for clients without DPoP, and `DPoP` with exactly the
 * parameters `expected`. Returns the parameters of the first.
 */
export function assertDpopChallenge(answer, expected) {
  assert.equal(answer.status, 401, describe(answer));
  const [bearer, dpop, ...more] = parseChallenges(answer.headers.get('www-authenticate'));
  assert.deepEqual([bearer.scheme, dpop?.scheme, more], ['Bearer', 'DPoP', []]);
  const { error_description: _description, algs, ...parameters } = dpop.parameters;
  assert.ok(algs.split(' ').includes('ES256'), describe(answer));
  assert.deepEqual(parameters, expected, describe(answer));
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  return bearer.parameters;
}

/** Asserts a 503 with `Retry-After`: the server cannot verify the token now, and does not call it invalid. */
export function assertUnavailable(answer) {
  assert.equal(answer.status, 503, describe(answer));
  assert.equal(answer.headers.get('www-authenticate'), null);
  const retryAfter = answer.headers.get('retry-after');
  assert.match(String(retryAfter), /^[1-9][0-9]*$/);
  assert.ok(Number(retryAfter) <= MAX_RETRY_AFTER, `Retry-After: ${retryAfter}`);
  assert.equal(JSON.parse(answer.text).error, 'temporarily_unavailable');
}

/** Sends requests until the token is accepted. Before that, each response must be a 503. */
export function acceptedEventually(url, token, timing) {
  return eventually(
    'the token is accepted',
    async () => {
      const answer = await initialize(url, token);
      if (answer.status === 503) return assertUnavailable(answer);
      assertAccepted(answer);
      return true;
    },
    timing,
  );
}

/** Sends requests until the token is rejected. Before that, each response must accept it. */
export function rejectedEventually(server, token) {
  return eventually('the token is rejected', async () => {
    const answer = await initialize(server.url, token);
    if (answer.status === 200) return assertAccepted(answer);
    assertRejected(answer, 401, invalidToken(server));
    return true;
  });
}

/** The challenge of `server` for an invalid token. */
export function invalidToken(server) {
  return { resource_metadata: server.metadataUrl, scope: 'mcp:tools', error: 'invalid_token' };
}

function describe({ status, headers, text }) {
  return `${status} ${headers.get('www-authenticate') ?? ''} ${text}`;
}
