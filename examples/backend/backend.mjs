// A complete small VoIP backend: it takes SIP-like calls over HTTP, has relay
// ring the callee, and hears by webhooks what becomes of it.
//
//   URL=http://127.0.0.1:8080 KEY=rk_… node examples/backend/backend.mjs
//   curl -N 127.0.0.1:9000/invite -d '{"call_id": "sip-1", "from": "u1", "to": "demo-user"}'
//
// It needs Node 18 or newer and no package.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import process from 'node:process';

const { URL: relay, KEY: key, ADDR = '127.0.0.1:9000' } = process.env;
if (!relay || !key) {
  console.error('set URL and KEY, as relay dev prints them');
  process.exit(1);
}

// The SIP answers to calls that nobody answered.
const finals = {
  rejected: '603 Decline', busy: '486 Busy Here', missed: '480 Temporarily Unavailable', unreachable: '480 Temporarily Unavailable',
  canceled: '487 Request Terminated', failed: '500 Server Internal Error', completed: '200 OK',
};
const waiting = new Map(); // who waits for a call's events, by our own id of it, which relay keeps as ref
const calls = new Map(); // relay's id of each call
let secret;

// ask asks relay.
async function ask(method, path, body, headers = {}) {
  const answer = await fetch(relay + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, ...(body && { 'Content-Type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

// invite answers as a SIP server would: provisional answers as they come, then
// the final one. A caller that hangs up before it cancels the call.
async function invite(request, response) {
  const { call_id: callID, from, to } = JSON.parse(await read(request));
  const say = (line) => response.write(`SIP/2.0 ${line}\n`);
  let id, over = false;
  const finish = (line) => {
    over = true;
    waiting.delete(callID);
    if (line) say(line);
    response.end();
  };
  const hear = (type, call) => {
    if (over) return;
    if (type === 'call.ringing') say('180 Ringing');
    else if (type === 'call.answered') finish('200 OK');
    else if (call.status === 'ended') finish(finals[call.end_reason]);
  };
  waiting.set(callID, hear); // before the call exists: its events may come before the answer
  response.on('close', () => {
    if (over) return;
    finish();
    if (id) ask('POST', `/v1/calls/${id}/cancel`).catch((e) => console.error(e.message));
  });
  say('100 Trying');
  try {
    // The same Idempotency-Key makes the same call: an INVITE may come twice.
    const call = await ask('POST', '/v1/calls', { ref: callID, caller: { user_id: from }, callee: { user_id: to }, media: 'voice' },
      { 'Idempotency-Key': callID });
    id = call.id;
    calls.set(callID, id);
    hear('', call);
    if (over && response.destroyed) await ask('POST', `/v1/calls/${id}/cancel`); // it left meanwhile
  } catch (e) {
    console.error(e.message);
    if (!over) finish('500 Server Internal Error');
  }
}

// bye ends a call.
async function bye(request, response) {
  const { call_id: callID } = JSON.parse(await read(request));
  const id = calls.get(callID);
  calls.delete(callID);
  if (!id) return response.writeHead(404).end('SIP/2.0 481 Call/Transaction Does Not Exist\n');
  await ask('POST', `/v1/calls/${id}/end`);
  response.end('SIP/2.0 200 OK\n');
}

// hear takes a webhook. It answers 204 at once, whether or not the event is news
// to it: relay sends an event again until it is taken.
async function hear(request, response) {
  const body = await read(request);
  if (!signed(request.headers, body)) return response.writeHead(401).end('the signature is not good\n');
  const { data } = JSON.parse(body);
  waiting.get(data.call?.ref)?.(data.type, data.call);
  response.writeHead(204).end();
}

// signed checks a webhook's signature and age (Standard Webhooks).
function signed(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures = '' } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(at)) < 300)) return false;
  const want = createHmac('sha256', secret).update(`${id}.${at}.${body}`).digest();
  return signatures.split(' ').some((one) => { // several, while the secret is changed
    const got = Buffer.from(one.replace(/^v1,/, ''), 'base64');
    return got.length === want.length && timingSafeEqual(got, want);
  });
}

async function read(request) {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece;
  return text;
}

const routes = { 'POST /invite': invite, 'POST /bye': bye, 'POST /events': hear };
const server = createServer((request, response) => {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return response.writeHead(404).end();
  route(request, response).catch((e) => {
    console.error(e.message);
    if (!response.headersSent) response.writeHead(400);
    response.end();
  });
});
const [host, port] = ADDR.split(':');
server.listen(Number(port), host, async () => {
  const self = `http://${host}:${server.address().port}`;
  try {
    const hook = await ask('POST', '/v1/webhooks', { url: `${self}/events`, types: ['call.ringing', 'call.answered', 'call.ended'], description: 'the example backend' });
    secret = Buffer.from(hook.secret.replace(/^whsec_/, ''), 'base64');
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => ask('DELETE', `/v1/webhooks/${hook.id}`).catch((e) => console.error(e.message)).finally(() => process.exit()));
    }
    console.log('listening on', self);
  } catch (e) {
    console.error(e.message);
    process.exit(1);
  }
});
