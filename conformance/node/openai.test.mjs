// The official OpenAI SDK for Node against the gateway. sdk/sdk_test.go starts the gateway and says where it is.
import { after, test } from "node:test";
import assert from "node:assert/strict";
import OpenAI from "openai";

const env = process.env;
for (const name of ["BASE_URL", "GOOD_KEY", "BARE_KEY", "NARROW_KEY", "REVOKED_KEY", "ADMIN_URL", "ADMIN_TOKEN", "PROVIDER_REFUSAL"]) {
  assert.ok(env[name], `${name} is not set: run this through sdk/sdk_test.go`);
}
const client = (apiKey, maxRetries = 0) => new OpenAI({ baseURL: env.BASE_URL, apiKey, maxRetries, timeout: 20_000 });
const good = client(env.GOOD_KEY);
const say = (model, content, more = {}) => ({ model, messages: [{ role: "user", content }], ...more });

/** rejects checks the class and the words of an SDK error and returns it. */
async function rejects(promise, type, status, code, ...words) {
  const e = await promise.then(() => assert.fail("the call succeeded"), (e) => e);
  assert.ok(e instanceof type, `${e?.constructor?.name} instead of ${type.name}: ${e}`);
  assert.equal(e.status, status);
  assert.equal(e.code, code);
  for (const w of words) assert.match(e.message, w);
  return e;
}

/** record waits for the record of a call: records are written a little later than the answer. */
async function record(trace) {
  assert.ok(trace, "the answer has no Postern-Trace");
  for (let i = 0; i < 200; i++) {
    const res = await fetch(`${env.ADMIN_URL}/api/v1/records/${trace}`, { headers: { authorization: `Bearer ${env.ADMIN_TOKEN}` } });
    if (res.ok) return res.json();
    await res.arrayBuffer();
    await new Promise((r) => setTimeout(r, 50));
  }
  assert.fail(`no record of ${trace}`);
}

function charged(r) {
  assert.deepEqual(
    [r.input_tokens, r.cached_input_tokens, r.output_tokens, r.reasoning_tokens, r.cost_pico, r.currency],
    [800, 200, 200, 100, 495000000, "USD"],
  );
}

test("models.list", async () => {
  const ids = [];
  for await (const m of good.models.list()) ids.push(m.id);
  assert.ok(ids.includes("fast"), ids.join());
  assert.ok(!ids.includes("vendor-large"), ids.join());
});

test("models.retrieve", async () => {
  const m = await good.models.retrieve("fast");
  assert.deepEqual([m.id, m.object, m.owned_by], ["fast", "model", "conformance"]);
  await rejects(good.models.retrieve("some/model:none"), OpenAI.NotFoundError, 404, "guardrail.model_unknown", /some\/model:none/);
});

test("chat.completions.create", async () => {
  const { data, response } = await good.chat.completions.create(say("fast", "hello")).withResponse();
  assert.equal(data.choices[0].message.content, "echo: hello");
  assert.equal(data.usage.total_tokens, 1300);
  charged(await record(response.headers.get("postern-trace")));
});

for (const include_usage of [false, true]) {
  test(`streaming, include_usage ${include_usage}`, async () => {
    const options = include_usage ? { stream_options: { include_usage } } : {};
    const { data, response } = await good.chat.completions.create(say("fast", "one two three", { stream: true, ...options })).withResponse();
    let text = "";
    let usages = 0;
    let empty = 0;
    for await (const chunk of data) {
      if (chunk.usage) usages++;
      if (chunk.choices.length === 0) empty++;
      text += chunk.choices[0]?.delta?.content ?? "";
    }
    assert.equal(text, "echo: one two three");
    assert.deepEqual([usages, empty], include_usage ? [1, 1] : [0, 0]);
    charged(await record(response.headers.get("postern-trace")));
  });
}

test("the stream helper", async () => {
  const final = await good.chat.completions.stream(say("fast", "a b c")).finalContent();
  assert.equal(final, "echo: a b c");
});

test("abort in mid-stream", async () => {
  const stream = await good.chat.completions.create(say("fast", "never end", { stream: true }));
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 2) stream.controller.abort();
  assert.equal(chunks, 2); // sdk_test.go checks that the provider was told
});

test("a stream that breaks off is an error", async () => {
  await assert.rejects(async () => {
    const stream = await good.chat.completions.create(say("fast", "break off", { stream: true }));
    for await (const _ of stream);
  });
});

test("wrong key", () => rejects(client("pst_wrong").chat.completions.create(say("fast", "hi")), OpenAI.AuthenticationError, 401, "authn.credential_rejected", /trace /));

test("revoked key", () => rejects(client(env.REVOKED_KEY).chat.completions.create(say("fast", "hi")), OpenAI.AuthenticationError, 401, "authn.key_revoked", /trace /));

test("missing permission", async () => {
  const e = await rejects(client(env.BARE_KEY).chat.completions.create(say("fast", "hi")), OpenAI.PermissionDeniedError, 403, "authz.permission_missing", /models:use/, /bare/);
  const trace = e.headers.get("postern-trace");
  assert.ok(e.message.includes(trace), `${e.message} does not name ${trace}`);
});

test("missing permission, streaming", () => rejects(client(env.BARE_KEY).chat.completions.create(say("fast", "hi", { stream: true })), OpenAI.PermissionDeniedError, 403, "authz.permission_missing"));

test("unknown model", () => rejects(good.chat.completions.create(say("nonesuch", "hi")), OpenAI.NotFoundError, 404, "guardrail.model_unknown", /nonesuch/));

test("malformed request", () => rejects(good.chat.completions.create({ messages: [] }), OpenAI.BadRequestError, 400, "guardrail.unreadable"));

test("provider down", () => rejects(good.chat.completions.create(say("dead", "hi")), OpenAI.InternalServerError, 502, "upstream.unreachable"));

test("the provider's own refusal", async () => {
  const e = await rejects(good.chat.completions.create(say("fast", "refuse me")), OpenAI.UnprocessableEntityError, 422, "provider_code", /the provider's own words, 100 % untouched/);
  assert.match(e.headers.get("proxy-status"), /received-status=422/);
  assert.deepEqual(e.error, JSON.parse(env.PROVIDER_REFUSAL).error);
});

test("the provider's own failure", () => rejects(good.chat.completions.create(say("fast", "fail")), OpenAI.InternalServerError, 500, "provider_code"));

test("rate limit, and Retry-After honoured", async () => {
  await client(env.NARROW_KEY).chat.completions.create(say("fast", "first"));
  const e = await rejects(client(env.NARROW_KEY).chat.completions.create(say("fast", "second")), OpenAI.RateLimitError, 429, "limit.rate");
  assert.match(e.headers.get("retry-after"), /^[12]$/);
  const patient = await client(env.NARROW_KEY, 3).chat.completions.create(say("fast", "third"));
  assert.equal(patient.choices[0].message.content, "echo: third");
});
