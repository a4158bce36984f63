// What can become of an answer. A fault takes the `response` to write to, `original`, which asks the authorization server
// for what it would have been, and the introspection request.

import { setTimeout as sleep } from 'node:timers/promises';

export async function unspoilt(response, original) {
  const { status, headers, body } = await original();
  response.writeHead(status, headers).end(body);
}

/** Another answer than the authorization server's, which is not asked. */
export function instead(status, headers = {}, body = '') {
  return async (response) => response.writeHead(status, headers).end(body);
}

/** A 200 with `text` where the JSON should be. */
export function insteadOfJson(text) {
  return instead(200, { 'content-type': 'application/json' }, text);
}

/** The authorization server's JSON object with changed members; `undefined` takes one away. */
export function changed(changes) {
  return async (response, original) => {
    const { status, body } = await original();
    const answer = { ...JSON.parse(body), ...changes };
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
}

/** No answer, ever. */
export async function hang() {}

/** The connection is reset in place of an answer. */
export async function reset(response) {
  response.socket.resetAndDestroy();
}

/** A complete answer of half of the JSON. */
export async function truncated(response, original) {
  const { status, headers, body } = await original();
  const half = body.subarray(0, body.length / 2);
  response.writeHead(status, { ...headers, 'content-length': half.length }).end(half);
}

/** An answer that promises more than comes before the connection ends. */
export async function brokenOff(response, original) {
  const { status, headers, body } = await original();
  response.writeHead(status, headers);
  response.write(body.subarray(0, body.length / 2), () => response.destroy());
}

/** `fault` where `token` is asked about, and nowhere else. */
export function onlyFor(token, fault) {
  return async (response, original, { form }) => (form.get('token') === token ? fault : unspoilt)(response, original);
}

/** `fault`, `milliseconds` later. */
export function late(milliseconds, fault = unspoilt) {
  return async (response, original) => {
    await sleep(milliseconds);
    return fault(response, original);
  };
}

/** `fault` for one answer, and none after it. */
export function once(fault) {
  let next = fault;
  return (response, original) => {
    const now = next;
    next = unspoilt;
    return now(response, original);
  };
}
