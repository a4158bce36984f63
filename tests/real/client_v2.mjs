// Clients that use `@modelcontextprotocol/client` 2.x.

import {
  auth,
  Client,
  extractWWWAuthenticateParams,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client';

import { Connection } from './connection.mjs';

/** The default mode: uses `initialize` and a session, like a client of 2025. */
export const v2 = clientV2('@modelcontextprotocol/client 2.x', 'legacy');
/** Probes for the revision 2026-07-28, which has neither `initialize` nor sessions. */
export const v2Probing = clientV2('@modelcontextprotocol/client 2.x, probing', 'auto');

function clientV2(name, mode) {
  return {
    name,
    UnauthorizedError,
    readChallenge: extractWWWAuthenticateParams,

    /** Connects, and logs in through `browser` if the server requires it. */
    async connect(url, session, browser) {
      const first = transport(url, session);
      try {
        return await open(first, mode);
      } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        await first.finishAuth(await session.approve(browser));
        return open(transport(url, session), mode);
      }
    },

    /** Logs in with chosen scopes before the first request to the server. */
    async login(url, session, browser, scope) {
      const options = { serverUrl: url, scope, fetchFn: session.fetch };
      await auth(session, options);
      const parameters = await session.approve(browser);
      // Ory Hydra does not send the parameter.
      const iss = parameters.get('iss') ?? undefined;
      await auth(session, { ...options, authorizationCode: parameters.get('code'), iss });
    },
  };
}

async function open(transport, mode) {
  const client = new Client({ name: 'real-tests-v2', version: '1.0.0' }, { versionNegotiation: { mode } });
  await client.connect(transport);
  return new Connection(client, transport, (parameters) => transport.finishAuth(parameters));
}

function transport(url, session) {
  return new StreamableHTTPClientTransport(new URL(url), { authProvider: session, fetch: session.fetch });
}
