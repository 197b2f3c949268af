/** Calls a provider's API with an account's token: node example.ts URL, with TOKENKEEP_URL, TOKENKEEP_KEY and ACCOUNT set. */
import { env, argv, exit } from "node:process";
import { tokenkeep, TokenkeepProblem, Tokens } from "./client.ts";

const { TOKENKEEP_URL, TOKENKEEP_KEY, ACCOUNT } = env;
const url = argv[2];
if (TOKENKEEP_URL === undefined || TOKENKEEP_KEY === undefined || ACCOUNT === undefined || url === undefined) {
  console.error("usage: TOKENKEEP_URL=… TOKENKEEP_KEY=… ACCOUNT=acc_… node example.ts URL");
  exit(2);
}

const tokens = new Tokens(tokenkeep(TOKENKEEP_URL, TOKENKEEP_KEY));
try {
  const [{ headers }] = await Promise.all([tokens.get(ACCOUNT), tokens.get(ACCOUNT)]); // one request
  const answer = await fetch(url, { headers, redirect: "error", signal: AbortSignal.timeout(10_000) });
  console.log(answer.status, await answer.text());
} catch (error) {
  if (!(error instanceof TokenkeepProblem)) throw error;
  console.error(error.message, error.problem.connect_url ?? "");
  exit(1);
}
