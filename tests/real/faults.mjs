// Faults in responses. A fault receives the `response` to write to, the function `original`, which returns the response
// of the authorization server, and the introspection request.

import { setTimeout as sleep } from 'node:timers/promises';

export async function unchanged(response, original) {
  const { status, headers, body } = await original();
  response.writeHead(status, headers).end(body);
}

/** A response without a request to the authorization server. */
export function instead(status, headers = {}, body = '') {
  return async (response) => response.writeHead(status, headers).end(body);
}

/** A response with status 200 and `text` instead of the JSON. */
export function insteadOfJson(text) {
  return instead(200, { 'content-type': 'application/json' }, text);
}

/** The JSON response of the authorization server with changed members. `undefined` removes a member. */
export function changed(changes) {
  return async (response, original) => {
    const { status, body } = await original();
    const answer = { ...JSON.parse(body), ...changes };
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
}

/** Never responds. */
export async function hang() {}

/** Resets the connection instead of responding. */
export async function reset(response) {
  response.socket.resetAndDestroy();
}

/** A complete response with half of the JSON. */
export async function truncated(response, original) {
  const { status, headers, body } = await original();
  const half = body.subarray(0, body.length / 2);
  response.writeHead(status, { ...headers, 'content-length': half.length }).end(half);
}

/** A response that ends before its `Content-Length`. */
export async function brokenOff(response, original) {
  const { status, headers, body } = await original();
  response.writeHead(status, headers);
  response.write(body.subarray(0, body.length / 2), () => response.destroy());
}

/** `fault` for the introspection of `token`, and the unchanged response for all other tokens. */
export function onlyFor(token, fault) {
  return async (response, original, { form }) => (form.get('token') === token ? fault : unchanged)(response, original);
}

/** `fault` after a delay. */
export function delayed(milliseconds, fault = unchanged) {
  return async (response, original) => {
    await sleep(milliseconds);
    return fault(response, original);
  };
}

/** `fault` for one response, and unchanged responses afterwards. */
export function once(fault) {
  let next = fault;
  return (response, original) => {
    const now = next;
    next = unchanged;
    return now(response, original);
  };
}
