// A small VoIP backend and a small app, for what the compiler says of the types
// that are made from openapi.yaml. Nobody runs it. Where a line must not
// compile, @ts-expect-error stands before it: were the types loose, it would.

import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
type Method = "get" | "put" | "post" | "delete";

// Has are the paths that have a method.
type Has<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
type Operation<M extends Method, P extends Has<M>> = paths[P] extends Record<M, infer O> ? O : never;
type Sent<O> = O extends { requestBody?: infer B } ? (NonNullable<B> extends { content: { "application/json": infer J } } ? J : never) : never;
type Answered<O, S extends number> = O extends { responses: infer R }
  ? S extends keyof R ? (R[S] extends { content: { "application/json": infer J } } ? J : undefined) : never
  : never;

class Refused extends Error {
  constructor(readonly problem: Schemas["Problem"]) {
    super(problem.detail);
  }
}

class Client {
  constructor(readonly url: string, readonly key: string) {}

  async ask<M extends Method, P extends Has<M>, S extends number>(
    method: M, path: P, status: S, names: Record<string, string>, body?: Sent<Operation<M, P>>, headers: Record<string, string> = {},
  ): Promise<Answered<Operation<M, P>, S>> {
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name] ?? ""));
    const answer = await fetch(this.url + filled, {
      method: method.toUpperCase(),
      headers: { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json", ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (answer.status !== status) {
      throw new Refused((await answer.json()) as Schemas["Problem"]);
    }
    return (await answer.json()) as Answered<Operation<M, P>, S>;
  }
}

// ring invites somebody, and returns why each device that does not ring does not.
export async function ring(backend: Client, from: string, to: string): Promise<Map<string, Schemas["Reason"]>> {
  const invite: Schemas["Invite"] = { caller: { user_id: from }, callee: { user_id: to }, media: "video", custom: { room: "r9" } };
  const call = await backend.ask("post", "/v1/calls", 201, {}, invite, { "Idempotency-Key": "sip-1" });
  const reasons = new Map<string, Schemas["Reason"]>();
  for (const leg of call.legs) {
    if (leg.reason !== null) {
      reasons.set(leg.device_id, leg.reason);
    }
  }
  const again = await backend.ask("get", "/v1/calls/{call_id}", 200, { call_id: call.id });
  const ref: string | null = again.ref;

  // @ts-expect-error: the media are a closed set
  invite.media = "smell";
  // @ts-expect-error: whom to call is required
  const incomplete: Schemas["Invite"] = { caller: { user_id: from }, media: "voice" };
  // @ts-expect-error: there is no such field
  const colour = call.colour;
  // @ts-expect-error: it may be null
  const sure: string = again.ref;
  // @ts-expect-error: the path has no such method
  await backend.ask("delete", "/v1/calls", 200, {});
  // @ts-expect-error: there is no such path
  await backend.ask("get", "/v1/colours", 200, {});

  void [ref, incomplete, colour, sure];
  return reasons;
}

// history goes through all calls.
export async function* history(backend: Client): AsyncGenerator<Schemas["BackendCall"]> {
  const page: Schemas["CallPage"] = await backend.ask("get", "/v1/calls", 200, {});
  yield* page.data;
}

// wake is the app's side of a call.
export async function wake(device: Client, call_id: string): Promise<boolean> {
  try {
    const confirmed = await device.ask("post", "/v1/device/calls/{call_id}/confirm", 200, { call_id }, { source: "push" });
    if (confirmed.verdict === "stop") {
      return false;
    }
    const report = { seq: confirmed.last_seq + 1, event: "ringing", at: confirmed.server_time } as const;
    await device.ask("post", "/v1/device/calls/{call_id}/reports", 200, { call_id }, { reports: [report] });
    return true;
  } catch (error) {
    return !(error instanceof Refused) || told(error.problem.code);
  }
}

// told goes through every code there is: one that is new does not compile until
// it stands here.
function told(code: Schemas["ProblemCode"]): boolean {
  switch (code) {
    case "lost_race": case "call_ended": case "call_answered": case "region_not_supported": case "region_unknown": case "not_found":
      return false;
    case "unavailable": case "internal": case "idempotency_in_progress":
      return true;
    case "malformed": case "unauthenticated": case "forbidden": case "method_not_allowed": case "not_acceptable": case "outgoing_limit":
    case "seq_conflict": case "too_large": case "unsupported_media_type": case "invalid": case "idempotency_key_reused":
      throw new Error(`the request was wrong: ${code}`);
    default: {
      const never: never = code;
      return never;
    }
  }
}
