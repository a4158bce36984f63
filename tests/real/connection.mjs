// A connected MCP client of either SDK, with the calls that the tests need.

import { strict as assert } from 'node:assert';

export class Connection {
  #client;
  #transport;
  #finishAuth;

  /** `finishAuth` passes the parameters of the redirect to the SDK. */
  constructor(client, transport, finishAuth) {
    this.#client = client;
    this.#transport = transport;
    this.#finishAuth = finishAuth;
  }

  /** The negotiated protocol revision. */
  get protocolVersion() {
    return this.#client.getNegotiatedProtocolVersion();
  }

  /** `undefined` without a session. */
  get sessionId() {
    return this.#transport.sessionId;
  }

  async toolNames() {
    const { tools } = await this.#client.listTools();
    return tools.map((tool) => tool.name).sort();
  }

  /** Calls a tool and returns its text. Throws JSON-RPC errors as the SDK does. */
  async call(name, args = {}) {
    const result = await this.#client.callTool({ name, arguments: args });
    assert.ok(!result.isError, `${name} returned an error: ${JSON.stringify(result.content)}`);
    return result.content.map((part) => part.text).join('');
  }

  async whoami() {
    return JSON.parse(await this.call('whoami'));
  }

  /** Completes a login that a call required. The call can then be repeated. */
  finishLogin(parameters) {
    return this.#finishAuth(parameters);
  }

  /** Ends the session on the server too. */
  async close() {
    await this.#transport.terminateSession();
    await this.#client.close();
  }
}
