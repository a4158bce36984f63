// A session of a client of 2025. Every request takes a token, because the tests use sessions with tokens of other
// users.

import { strict as assert } from 'node:assert';

import { EventStream, eventData } from './event_stream.mjs';
import { mcpHeaders } from './wire.mjs';

const CLIENT = { capabilities: {}, clientInfo: { name: 'real-tests', version: '1.0.0' } };

export class McpSession {
  id;
  #url;
  #revision;

  constructor(url, revision, id) {
    this.#url = url;
    this.#revision = revision;
    this.id = id;
  }

  static async open(url, token, revision = '2025-11-25') {
    const session = new McpSession(url, revision);
    const params = { protocolVersion: revision, ...CLIENT };
    const answer = await session.#send('POST', token, { id: 0, method: 'initialize', params });
    assert.equal(resultOf(answer, 0).protocolVersion, revision);
    session.id = answer.headers.get('mcp-session-id');
    assert.ok(session.id, 'the server did not open a session');
    const { status, text } = await session.#send('POST', token, { method: 'notifications/initialized' });
    assert.equal(status, 202, text);
    return session;
  }

  /** Returns the same session with another session id. */
  withId(id) {
    return new McpSession(this.#url, this.#revision, id);
  }

  /** Sends a request and returns its result from the event stream. */
  async request(token, method, params = {}) {
    return resultOf(await this.#send('POST', token, { id: 1, method, params }), 1);
  }

  /** Calls a tool and returns its text. */
  async call(token, name, args = {}) {
    const { content, isError } = await this.request(token, 'tools/call', { name, arguments: args });
    const text = content.map((part) => part.text).join('');
    assert.ok(!isError, text);
    return text;
  }

  /** Opens the stream of server messages. It ends when `t` ends. */
  async listen(t, token) {
    const response = await this.#fetch('GET', token);
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/event-stream\b/);
    const stream = new EventStream(response);
    t.after(() => stream.close());
    return stream;
  }

  async end(token) {
    return (await this.#send('DELETE', token)).status;
  }

  /** Sends one request with each method. Returns the responses by method; the text of a successful GET is not read. */
  async answers(token) {
    const listTools = { id: 1, method: 'tools/list' };
    return {
      POST: await this.#send('POST', token, listTools),
      GET: await this.#send('GET', token),
      DELETE: await this.#send('DELETE', token),
    };
  }

  async #send(method, token, message) {
    const response = await this.#fetch(method, token, message);
    const { status, headers } = response;
    // A stream that opens by mistake would never end.
    if (method === 'GET' && response.ok) await response.body.cancel();
    return { status, headers, text: method === 'GET' && response.ok ? '' : await response.text() };
  }

  async #fetch(method, token, message) {
    const headers = {
      ...(await mcpHeaders(method, this.#url, token)),
      'mcp-protocol-version': this.#revision,
      ...(this.id !== undefined && { 'mcp-session-id': this.id }),
    };
    return fetch(this.#url, { method, headers, body: message && JSON.stringify({ jsonrpc: '2.0', ...message }) });
  }
}

/** Returns the result from an event stream that contains exactly one response, to the request `id`. */
function resultOf({ status, headers, text }, id) {
  assert.equal(status, 200, text);
  assert.match(headers.get('content-type'), /^text\/event-stream\b/);
  const answers = eventData(text).map((data) => JSON.parse(data));
  assert.deepEqual(answers.map((answer) => answer.id), [id], text);
  assert.ok(answers[0].result, text);
  return answers[0].result;
}
