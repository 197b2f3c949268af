// Events of tokenkeep as they come, by server-sent events: written from deploy/asyncapi.yaml alone, with Node's own parts (20 or newer).

const SILENCE_MS = 45_000; // the server says something every 15 seconds
const LONGEST_WAIT_MS = 30_000;

/** The server refuses, and would refuse again: a wrong key, or a cursor (410) behind which events are no longer kept. */
export class Refused extends Error {}

/**
 * What happens, from a cursor on, for as long as `signal` is not aborted. Each step has the cursor to go on from, and the event
 * (a CloudEvent), or none where only the place has moved. Broken connections are made anew, and nothing is missed.
 */
export async function* follow({ url, key, environment, cursor, types = [], signal }) {
  let wait = 0;
  let pause = 1_000;
  while (!signal.aborted) {
    try {
      const answer = await open({ url, key, environment, cursor, types, signal });
      for await (const block of blocks(answer.body, signal)) {
        wait = 0;
        if (block.retry) pause = Number(block.retry);
        if (!block.id) continue;
        cursor = block.id;
        yield { cursor, event: block.data && JSON.parse(block.data) };
      }
      await sleep(pause, signal); // a stream ends after some minutes: come back
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (signal.aborted) return;
      wait = error.retryAfterMs ?? Math.min(LONGEST_WAIT_MS, Math.max(pause, wait * 2));
      console.error(`no connection (${error.cause?.code ?? error.message}); again in ${wait} ms`);
      await sleep(wait, signal);
    }
  }
}

async function open({ url, key, environment, cursor, types, signal }) {
  const address = new URL("/v1/events/stream", url);
  for (const type of types) address.searchParams.append("type", type);
  const headers = { Authorization: `Bearer ${key}`, Accept: "text/event-stream" };
  if (cursor) headers["Last-Event-ID"] = cursor;
  if (environment) headers["X-Tokenkeep-Environment"] = environment; // the admin key's only
  const answer = await fetch(address, { headers, signal, redirect: "error" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const told = `${answer.status} ${problem.code ?? ""}: ${problem.detail ?? ""}`;
  if (answer.status === 429 || answer.status >= 500) {
    const seconds = Number(answer.headers.get("Retry-After"));
    throw Object.assign(new Error(told), seconds > 0 ? { retryAfterMs: Math.min(seconds, 300) * 1000 } : {});
  }
  throw new Refused(told);
}

/** The blocks of a stream, as objects of their fields. A stream that falls silent is given up. */
async function* blocks(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const stop = () => reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop);
  let text = "";
  try {
    for (;;) {
      const { done, value } = await soon(reader.read());
      if (done) return;
      text += value;
      const lines = text.split(/\r\n\r\n|\n\n|\r\r/);
      text = lines.pop();
      for (const block of lines) yield fields(block);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    await stop();
  }
}

function fields(block) {
  const found = {};
  for (const line of block.split(/\r\n|\n|\r/)) {
    const at = line.indexOf(":");
    if (at < 1) continue; // a comment
    const value = line.slice(at + 1).replace(/^ /, "");
    const name = line.slice(0, at);
    found[name] = name === "data" && "data" in found ? `${found.data}\n${value}` : value;
  }
  return found;
}

async function soon(reading) {
  let timer;
  const silent = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the stream fell silent")), SILENCE_MS);
  });
  return Promise.race([reading, silent]).finally(() => clearTimeout(timer));
}

export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
