/**
 * The conformance table: a request, what went before it, and the reply that a rule wants.
 *
 * Rows know nothing of the fake: they run over plain HTTP, in a folder of their own, so that a real account can be asked the same
 * (`npm run test:azure-live`). A row whose rule is `unknown` never fails there: it prints what the account answered.
 */
import { outcome, send, type Received, type Sent, type Target } from '../client.ts';
import { RULES, type Rule, type RuleName } from '../rules.ts';

export interface Lab {
  /** `container/folder` of the row. */
  readonly at: string;
  /** The row's own container, for rows about containers; it does not exist at first. */
  readonly own: string;
  /** Replies so far. */
  readonly seen: readonly Received[];
}

/** One request, or seconds to wait by the service's clock. */
export type Step = ((lab: Lab) => Sent) | { readonly waitSeconds: number };

/** Exact, a pattern, or `null`: must not be there. */
type Wanted = Readonly<Record<string, string | RegExp | null>>;

interface Answer {
  /** `202`, or `412 LeaseIdMissing`. */
  readonly is: string;
  readonly headers?: Wanted | ((lab: Lab) => Wanted);
  readonly body?: string | RegExp;
}

export interface Row {
  readonly rule: RuleName;
  /** What the row does, in words, where the rule alone does not say. */
  readonly does?: string;
  readonly given?: readonly Step[];
  readonly ask: Step;
  readonly gets: Answer;
  /** What is seen afterwards. */
  readonly after?: readonly (readonly [Step, Answer])[];
  /** Default: accounts with a hierarchical namespace. */
  readonly on?: 'flat' | 'any';
}

export const nameOf = (row: Row): string => `${row.rule} [${RULES[row.rule].mark}]: ${row.does ?? RULES[row.rule].says}`;

export interface Place {
  readonly target: Target;
  readonly container: string;
  wait(seconds: number): Promise<void>;
}

export interface Finding {
  readonly row: Row;
  readonly rule: Rule;
  readonly got: string;
  /** Empty when the answer is the wanted one. */
  readonly differences: readonly string[];
}

let rows = 0;

/** Runs one row in a folder that no other row uses. A service that does not answer is a difference as well. */
export async function run(row: Row, place: Place): Promise<Finding> {
  const differences: string[] = [];
  const got = await ask(row, place, differences).catch((error: unknown) => {
    differences.push(`no reply: ${error instanceof Error ? error.message : String(error)}`);
    return 'no reply';
  });
  return { row, rule: RULES[row.rule], got, differences };
}

async function ask(row: Row, place: Place, differences: string[]): Promise<string> {
  rows += 1;
  const seen: Received[] = [];
  const lab: Lab = { at: `${place.container}/row${rows}`, own: `${place.container}-${rows}`, seen };
  const take = async (step: Step): Promise<Received | undefined> => {
    if ('waitSeconds' in step) {
      await place.wait(step.waitSeconds);
      return undefined;
    }
    const received = await send(place.target, step(lab));
    seen.push(received);
    return received;
  };
  for (const step of row.given ?? []) {
    const before = await take(step);
    // What a row builds on must have worked, else its answer says nothing.
    if (before !== undefined && before.status >= 400) differences.push(`given: ${outcome(before)}`);
  }
  const received = (await take(row.ask))!;
  differences.push(...compare(received, row.gets, lab));
  for (const [step, answer] of row.after ?? []) {
    const after = await take(step);
    if (after !== undefined) differences.push(...compare(after, answer, lab).map((difference) => `after: ${difference}`));
  }
  return outcome(received);
}

function compare(received: Received, answer: Answer, lab: Lab): string[] {
  const differences: string[] = [];
  if (outcome(received) !== answer.is) differences.push(`${outcome(received)} instead of ${answer.is}`);
  const headers = typeof answer.headers === 'function' ? answer.headers(lab) : (answer.headers ?? {});
  for (const [name, wanted] of Object.entries(headers)) {
    const got = received.headers[name];
    if (!agrees(got, wanted)) differences.push(`${name}: ${got ?? 'absent'} instead of ${wanted === null ? 'absent' : String(wanted)}`);
  }
  if (answer.body !== undefined && !agrees(received.body.toString(), answer.body))
    differences.push(`body ${received.body.toString().slice(0, 300)} instead of ${String(answer.body)}`);
  return differences;
}

function agrees(got: string | undefined, wanted: string | RegExp | null): boolean {
  if (wanted === null) return got === undefined;
  return got !== undefined && (typeof wanted === 'string' ? got === wanted : wanted.test(got));
}
