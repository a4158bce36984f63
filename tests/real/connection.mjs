// A connected MCP client of either SDK: the few calls that the tests make.

import { strict as assert } from 'node:assert';

export class Connection {
  #client;
  #transport;
  #finishAuth;

  /** `finishAuth` takes the parameters that came back to the redirect URL, as the SDK wants them. */
  constructor(client, transport, finishAuth) {
    this.#client = client;
    this.#transport = transport;
    this.#finishAuth = finishAuth;
  }

  /** The revision that client and server agreed on. */
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

  /** Calls a tool and returns the text that it answers; a JSON-RPC error is thrown as the SDK throws it. */
  async call(name, args = {}) {
    const result = await this.#client.callTool({ name, arguments: args });
    assert.ok(!result.isError, `${name} answered an error: ${JSON.stringify(result.content)}`);
    return result.content.map((part) => part.text).join('');
  }

  async whoami() {
    return JSON.parse(await this.call('whoami'));
  }

  /** Ends a login that a call has asked for; the call can be made again then. */
  finishLogin(parameters) {
    return this.#finishAuth(parameters);
  }

  /** Ends the session on the server as well. */
  async close() {
    await this.#transport.terminateSession();
    await this.#client.close();
  }
}
