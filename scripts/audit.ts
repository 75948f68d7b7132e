/**
 * `npm run audit`: asks OSV.dev (GitHub's advisories, npm's, and others) about every package that is shipped, in the very version.
 *
 * It sends names and versions, and nothing else. Exit 0: nothing is known; 1: something is; 69: nobody could be asked, which is not
 * the same as nothing being known. `SLUICE_OSV` names a mirror.
 */
import { z } from 'zod';
import { dependencies } from './dependencies.ts';

const OSV = 'https://api.osv.dev';
const ASK_MS_MAX = 30_000;
/** Of one question: what OSV takes. */
const QUERIES_MAX = 1000;
const PAGES_MAX = 100;

const Batch = z.object({
  results: z.array(z.object({ vulns: z.array(z.object({ id: z.string() })).default([]), next_page_token: z.string().optional() })),
});
const Advisory = z.object({
  id: z.string(),
  aliases: z.array(z.string()).default([]),
  summary: z.string().default(''),
  withdrawn: z.string().optional(),
  affected: z
    .array(
      z.object({
        package: z.object({ name: z.string() }).optional(),
        ranges: z.array(z.object({ events: z.array(z.object({ fixed: z.string().optional() })) })).default([]),
      }),
    )
    .default([]),
  database_specific: z.object({ severity: z.string().optional() }).optional(),
});

export interface Package {
  readonly name: string;
  readonly version: string;
}

export interface Finding extends Package {
  /** Of the advisory, the CVE first. */
  readonly ids: readonly string[];
  /** As its database says: `HIGH`. */
  readonly severity: string;
  readonly summary: string;
  /** Versions that have it no more. */
  readonly fixed: readonly string[];
}

/** @throws when OSV does not answer, or answers something else */
export async function audit(packages: readonly Package[], url: string): Promise<Finding[]> {
  const known = await namesOf(packages, url);
  const findings: Finding[] = [];
  const read = new Map<string, z.infer<typeof Advisory>>();
  for (const [of, ids] of known) {
    for (const id of ids) {
      const advisory = read.get(id) ?? Advisory.parse(await ask(`${url}/v1/vulns/${encodeURIComponent(id)}`));
      read.set(id, advisory);
      if (advisory.withdrawn === undefined) findings.push(findingOf(of, advisory));
    }
  }
  return findings;
}

/** Names of advisories for each package that has any. */
async function namesOf(packages: readonly Package[], url: string): Promise<Map<Package, string[]>> {
  const found = new Map<Package, string[]>();
  let queries = packages.map((of) => ({ of, page: undefined as string | undefined }));
  for (let page = 0; queries.length > 0; page += 1) {
    if (page === PAGES_MAX) throw new Error('the answers do not end');
    const now = queries.slice(0, QUERIES_MAX);
    const next = queries.slice(QUERIES_MAX);
    const asked = now.map(({ of, page: token }) => ({
      version: of.version,
      package: { name: of.name, ecosystem: 'npm' },
      ...(token !== undefined && { page_token: token }),
    }));
    const { results } = Batch.parse(await ask(`${url}/v1/querybatch`, { queries: asked }));
    if (results.length !== now.length) throw new Error(`${now.length} packages were asked about, and ${results.length} answered for`);
    for (const [at, { vulns, next_page_token: more }] of results.entries()) {
      const { of } = now[at]!;
      if (vulns.length > 0) found.set(of, [...(found.get(of) ?? []), ...vulns.map(({ id }) => id)]);
      if (more !== undefined) next.push({ of, page: more });
    }
    queries = next;
  }
  return found;
}

async function ask(url: string, body?: object): Promise<unknown> {
  const post = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url, { ...post, signal: AbortSignal.timeout(ASK_MS_MAX) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return await answer.json();
}

function findingOf({ name, version }: Package, advisory: z.infer<typeof Advisory>): Finding {
  const { id, aliases, summary, affected, database_specific: more } = advisory;
  const own = affected.filter((each) => each.package?.name === name);
  const fixed = own.flatMap(({ ranges }) => ranges.flatMap(({ events }) => events.flatMap(({ fixed: at }) => at ?? [])));
  const ids = [...aliases.filter((alias) => alias.startsWith('CVE-')), id];
  return { name, version, ids, severity: more?.severity ?? 'not rated', summary, fixed: [...new Set(fixed)] };
}

/** What is printed. */
export function told(packages: number, findings: readonly Finding[]): string {
  if (findings.length === 0) return `Nothing is known about the ${packages} packages, in these versions.\n`;
  const lines = findings.map(
    ({ name, version, ids, severity, summary, fixed }) =>
      `${name}@${version}  ${severity}  ${ids.join(', ')}\n    ${summary}\n    ${fixed.length === 0 ? 'no version without it yet' : `without it: ${fixed.join(', ')}`}\n`,
  );
  return `${lines.join('')}${findings.length} known, in ${packages} packages.\n`;
}

if (import.meta.main) {
  const url = process.env['SLUICE_OSV'] ?? OSV;
  const packages = dependencies();
  try {
    const findings = await audit(packages, url);
    process.stdout.write(told(packages.length, findings));
    process.exitCode = findings.length === 0 ? 0 : 1;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    process.stderr.write(
      `${url} could not be asked, so nothing is known either way: ${String(error)}${cause}\nRun it where the internet can be reached, or name a mirror in SLUICE_OSV.\n`,
    );
    process.exitCode = 69;
  }
}
