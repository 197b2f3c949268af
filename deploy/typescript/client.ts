/** tokenkeep's API with the types of its own description, and tokens that are asked for once while they are good. */
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

export type Account = components["schemas"]["AccountAnswer"];
export type Problem = components["schemas"]["ProblemAnswer"];
export type Token = components["schemas"]["TokenAnswer"];

/** A refusal (RFC 9457): `problem.code` says why, `problem.connect_url` where the end user is to be sent. */
export class TokenkeepProblem extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
    this.name = "TokenkeepProblem";
    this.problem = problem;
  }
}

/** `client.GET("/v1/accounts")` and so on: every path, parameter, body and answer is typed. */
export function tokenkeep(baseUrl: string, apiKey: string): Client<paths> {
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${apiKey}` } });
}

/** What the API said, or that something before it answered: a proxy's 502 has a page, or nothing, in the problem's place. */
function problemOf(error: unknown, { status, statusText }: Response): Problem {
  if (typeof error === "object" && error !== null && "code" in error && "detail" in error) return error as Problem;
  return { type: "about:blank", title: statusText, status, code: "not_the_api", detail: statusText };
}

const MARGIN_MS = 60_000;
const UNENDING_MS = 300_000;
const MOST = 10_000;

/** `left`: how long the token lives from now on, in milliseconds, by the server's clock: this machine's may be wrong. */
type Vended = { token: Token; left: number };
type Entry = { vended: Promise<Vended>; until: number };

/** Tokens in memory: one request for all who ask at once, and none while the token has a minute left. */
export class Tokens {
  readonly #client: Client<paths>;
  readonly #kept = new Map<string, Entry>();

  constructor(client: Client<paths>) {
    this.#client = client;
  }

  async get(accountId: string): Promise<Token> {
    const kept = this.#kept.get(accountId);
    if (kept !== undefined && kept.until > performance.now()) return (await kept.vended).token;
    const entry: Entry = { vended: this.#ask(accountId), until: Number.POSITIVE_INFINITY };
    this.#keep(accountId, entry);
    try {
      const { token, left } = await entry.vended;
      // One that lives shorter than the margin is given for half of its life.
      entry.until = performance.now() + (left > MARGIN_MS ? left - MARGIN_MS : left / 2);
      return token;
    } catch (error) {
      if (this.#kept.get(accountId) === entry) this.#kept.delete(accountId);
      throw error;
    }
  }

  /** After an event about the account, or when its provider refused the token. */
  forget(accountId: string): void {
    this.#kept.delete(accountId);
  }

  #keep(accountId: string, entry: Entry): void {
    this.#kept.delete(accountId);
    this.#kept.set(accountId, entry);
    const oldest = this.#kept.keys().next();
    if (this.#kept.size > MOST && !oldest.done) this.#kept.delete(oldest.value);
  }

  async #ask(accountId: string): Promise<Vended> {
    const { data, error, response } = await this.#client.POST("/v1/accounts/{account_id}/token", {
      params: { path: { account_id: accountId } },
      signal: AbortSignal.timeout(40_000),
    });
    if (data?.data === undefined) throw new TokenkeepProblem(problemOf(error, response));
    const token = data.data;
    if (token.expires_at === null) return { token, left: UNENDING_MS };
    const said = Date.parse(response.headers.get("date") ?? "");
    return { token, left: Date.parse(token.expires_at) - (Number.isNaN(said) ? Date.now() : said) };
  }
}
