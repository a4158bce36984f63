// A connected MCP client of either SDK: the few calls that the tests make.

import { strict as assert } from 'node:assert';

export class Connection {
  #client;
  #transport;

  constructor(client, transport) {
    this.#client = client;
    this.#transport = transport;
  }

  /** The revision that client and server agreed on. */
  get protocolVersion() {
    return this.#client.getNegotiatedProtocolVersion();
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

  /** Ends the session on the server as well. */
  async close() {
    await this.#transport.terminateSession();
    await this.#client.close();
  }
}
