// A session of a client of 2025, request by request. Every request names the token that it is made with, since the
// question is who may use whose session.

import { strict as assert } from 'node:assert';

import { EventStream, eventData } from './event_stream.mjs';
import { postHeaders } from './wire.mjs';

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
    assert.ok(session.id, 'the server opened no session');
    const { status, text } = await session.#send('POST', token, { method: 'notifications/initialized' });
    assert.equal(status, 202, text);
    return session;
  }

  /** The same session, as far as a client with another id knows. */
  withId(id) {
    return new McpSession(this.#url, this.#revision, id);
  }

  /** What a request answers, on an event stream. */
  async request(token, method, params = {}) {
    return resultOf(await this.#send('POST', token, { id: 1, method, params }), 1);
  }

  /** The text that a tool answers. */
  async call(token, name, args = {}) {
    const { content, isError } = await this.request(token, 'tools/call', { name, arguments: args });
    const text = content.map((part) => part.text).join('');
    assert.ok(!isError, text);
    return text;
  }

  /** The stream of what the server says unasked; it ends with `t`. */
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

  /** The answers to all that can be done with a session, by method; the body of a good one is left out. */
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
    // A stream that is opened by mistake would never end.
    if (method === 'GET' && response.ok) await response.body.cancel();
    return { status, headers, text: method === 'GET' && response.ok ? '' : await response.text() };
  }

  #fetch(method, token, message) {
    const headers = {
      ...postHeaders(token),
      'mcp-protocol-version': this.#revision,
      ...(this.id !== undefined && { 'mcp-session-id': this.id }),
    };
    return fetch(this.#url, { method, headers, body: message && JSON.stringify({ jsonrpc: '2.0', ...message }) });
  }
}

/** Of an event stream, on which the answer to the request `id` stands once. */
function resultOf({ status, headers, text }, id) {
  assert.equal(status, 200, text);
  assert.match(headers.get('content-type'), /^text\/event-stream\b/);
  const answers = eventData(text).map((data) => JSON.parse(data));
  assert.deepEqual(answers.map((answer) => answer.id), [id], text);
  assert.ok(answers[0].result, text);
  return answers[0].result;
}
