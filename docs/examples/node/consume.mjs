// A consumer that keeps its place in a file: each event is handled in order, at least once, whatever is killed meanwhile.
//
//   TOKENKEEP_URL=https://… TOKENKEEP_KEY=tk_… CURSOR_FILE=billing.cursor node consume.mjs
//
// The key needs the scope events:read. SIGTERM lets the handler under way end.

import { open, readFile, readdir, rename } from "node:fs/promises";

import { Refused, follow, sleep } from "./feed.mjs";

const SCHEMAS = new URL("../../../deploy/schemas/", import.meta.url);
const LONGEST_WAIT_MS = 30_000;
const { TOKENKEEP_URL: url, TOKENKEEP_KEY: key, TOKENKEEP_ENVIRONMENT: environment, CURSOR_FILE: cursorFile } = process.env;

// What is to be done, by type. Whatever it is, it should bear being done twice: an event whose handler was interrupted comes again.
const handlers = {
  "tokenkeep.account.disabled": ({ data }) => say({ ask_to_reconnect: data.account_id, because: data.reason, at: data.connect_url }),
  "tokenkeep.account.expiring": ({ data }) => say({ remind: data.account_id, before: data.expires_at }),
  "tokenkeep.account.deleted": ({ data }) => say({ forget: data.account_id }),
};

async function handle(event) {
  await handlers[event.type]?.(event);
  say({ handled: event.id, type: event.type, subject: event.subject, sequence: event.sequence });
}

const stopping = new AbortController();
for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => stopping.abort());

try {
  await refuseUnknownTypes(Object.keys(handlers));
  const seen = new Map(); // the last sequence of each subject, so that a repetition is dropped
  for await (const { cursor, event } of follow({ url, key, environment, cursor: await load(), signal: stopping.signal })) {
    if (event && !(Number(event.sequence) <= seen.get(event.subject))) {
      if (!(await untilHandled(event))) break;
      seen.set(event.subject, Number(event.sequence));
    }
    await save(cursor);
  }
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.error(`refused: ${error.message}`);
  if (error.message.startsWith("410")) {
    console.error(`Read the state of your accounts (GET /v1/accounts), then remove ${cursorFile}.`);
  }
  process.exitCode = 1;
}

/** Tries until it works, later and later: what comes behind this event waits, so order is kept. False: it is to stop. */
async function untilHandled(event) {
  for (let wait = 500; !stopping.signal.aborted; wait = Math.min(LONGEST_WAIT_MS, wait * 2)) {
    try {
      await handle(event);
      return true;
    } catch (error) {
      console.error(`${event.id}: ${error.message}; again in ${wait} ms`);
      await sleep(wait, stopping.signal);
    }
  }
  return false;
}

async function load() {
  try {
    return await readFile(cursorFile, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return undefined; // from the first event that is kept
  }
}

async function save(cursor) {
  const file = await open(`${cursorFile}.new`, "w");
  await file.writeFile(cursor);
  await file.sync();
  await file.close();
  await rename(`${cursorFile}.new`, cursorFile);
}

async function refuseUnknownTypes(types) {
  const known = new Set(await readdir(SCHEMAS));
  const unknown = types.filter((type) => !known.has(`${type}.json`));
  if (unknown.length) throw new Refused(`nobody sends ${unknown.join(", ")}`);
}

function say(line) {
  console.log(JSON.stringify(line));
}
