/**
 * docs/troubleshooting.md: every error by its code, with the causes that people meet and how to tell them apart, where there is more to
 * say than the error itself does. A code that is not defined any more fails the build of the page.
 */
import type { ErrorKind } from '../src/core/error.ts';

/** Code to causes; each a line of its own: what it looks like, what to look at, what to do. */
const CAUSES: Readonly<Record<string, readonly string[]>> = {
  'SLC-1004': [
    'A key is misspelt: the message names the nearest right one.',
    '`${NAME}` in the file is empty in the environment: a service does not see the variables of your shell.',
  ],
  'SLC-1006': ['`sluice config check` says all of them at once, with line and column.'],
  'SLC-1101': [
    'Somebody edits files of the lake by hand, or another tool writes below its prefix: give sluice a prefix of its own.',
    'A lake was copied back from a backup without `_sluice/`, or with an older one: see [operating.md](operating.md#backups).',
  ],
  'SLC-1104': [
    '`df -h` on the lake. The lake has no limit of its own unless `lake.retention` is set.',
    'Free space and start again: it goes on at the last durable event.',
  ],
  'SLC-1106': [
    'Another `sluice run` of the same pipeline lives, perhaps on another machine: that is what a standby sees.',
    'The former owner died and its lease on Azure has not ended: a minute at most. `--take-over` does not wait; only a person should use it.',
  ],
  'SLC-1108': [
    'This process stood still (a frozen machine, a debugger, a laptop that slept) and another one went on. Nothing was written twice. Start it again as a standby.',
  ],
  'SLC-1109': ['The disk lost bytes, or somebody edited the file. Put the whole lake back from a backup, never the checkpoint alone.'],
  'SLC-1111': ['A file was cut, changed or removed by hand. `sluice verify --lake` names every one of them.'],
  'SLC-1113': [
    'Azure has an outage, or a proxy swallows requests: `sluice doctor` says which request got no answer. sluice goes on by itself when it comes back.',
  ],
  'SLC-1114': [
    'The key was rotated. The clock of the machine is wrong by more than a few minutes. The wrong tenant: `sluice doctor` shows whom the token names.',
  ],
  'SLC-1116': [
    'The role is on the account, but of the wrong kind: Owner and Contributor are no rights on data. It takes Storage Blob Data Contributor.',
    'It was given a minute ago: new assignments take some minutes.',
  ],
  'SLC-1117': [
    'The firewall of the account does not know the address of this machine; with private endpoints, `dfs` needs one for `dfs` and one for `blob`.',
  ],
  'SLC-1201': [
    'The name of a member cannot be resolved here: the replica set calls its members by names that only work inside of its own network (Docker, Kubernetes). Run sluice there, or use names that work everywhere.',
    'Atlas: the address of this machine is not in the access list.',
    'TLS: `tls=true` is missing in `source.uri`, or the CA is not known (`tlsCAFile`).',
  ],
  'SLC-1213': [
    'The role `read` on the databases is not enough for a stream over several of them: it takes `readAnyDatabase`, or `changeStream` and `find` on each. `sluice doctor` names what is missing.',
  ],
  'SLC-1218': ['A user lives in another database: `authSource=admin` in `source.uri`.', 'Characters of the password are not percent-encoded.'],
  'SLC-1240': ['One member is enough: start it with `--replSet rs0` and run `rs.initiate()` once.'],
  'SLC-1247': [
    '`sluice enable-images` turns them on. Changes from before that have none; `whenAvailable` in place of `required` takes what there is.',
  ],
  'SLC-1280': [
    '`source.uri` leads to another deployment than before.',
    'The deployment was restored from a backup from before the last saved position.',
  ],
  'SLC-1286': [
    'sluice was away for longer than the oplog reaches back. `sluice doctor` shows how many hours it holds; `replSetResizeOplog` makes it longer.',
    'sluice was running, but slower than the writes: look at `sluice_lag_seconds` before the stop, and at [sizing.md](sizing.md).',
  ],
  'SLC-1302': [
    'A DuckDB file belongs to one process. Ask the running one (`sluice query`), or stop it; a notebook or the DuckDB shell that has the file open counts, too.',
  ],
  'SLC-1306': ['DuckDB ran out of memory while it merged: raise `warehouse.memoryLimit`. Bronze and its ledger are as they were.'],
  'SLC-1320': [
    'Snowflake: the public key of the user is another one than that of `privateKeyFile` (`DESC USER`), the user is locked, or a network policy keeps this machine out.',
  ],
  'SLC-1403': [
    'Decide first whether the gap matters: `sluice status` shows from when to when, and which collections. Then `sluice run --accept-gap`.',
  ],
  'SLC-1502': ['The command runs as another user or on another machine than `sluice run`. In a container: `docker exec`, `kubectl exec`.'],
  'SLC-1506': [
    'Another address than the loopback needs the token for reading, too. It is `http.token`, or stands in the run file of the user that runs sluice.',
  ],
  'SLC-1602': [
    'A connection string of the namespace works, one of another hub does not. The policy needs Send to produce and Listen to consume.',
    'Keys are switched off on the namespace (`disableLocalAuth`).',
  ],
  'SLC-1604': ['Somebody added partitions. There is no way back for that hub: make a new one, with a new pipeline.'],
};

const FIRST = `## Before anything else
\`\`\`sh run
sluice doctor     # tries everything that the configuration names; each failure with its fix
sluice status     # where the pipeline stands, gaps, what waits
sluice verify     # reads everything, proves it or names what is off
\`\`\`

| it looks like | look at |
|---|---|
| it does not start | the code of the error, below |
| it starts, and nothing comes | \`sluice status\`: the position moves even while nothing happens. If it does: \`source.include\`, \`source.match\`. If not: \`source.uri\`, \`sluice doctor\` |
| events are in the lake, and silver is behind | files are loaded when they are sealed: [How fresh it is](operating.md#how-fresh-it-is). \`sluice seal\` seals now |
| a collection is in ERROR | [A collection in status ERROR](operating.md#a-collection-in-status-error) |
| an hour has no \`_SUCCESS\` | the watermark has not passed it (\`sluice status\`), or a gap touches it |
| it stands by for ever | another process owns the pipeline: \`SLC-1106\` |
| it is slow | [sizing.md](sizing.md) |
`;

function entry(kind: ErrorKind): string {
  const causes = CAUSES[kind.code] ?? [];
  const list = causes.length === 0 ? '' : `\n${causes.map((cause) => `- ${cause}`).join('\n')}\n`;
  return `### ${kind.code}\n\n**${kind.title}.** ${kind.next}\n${list}`;
}

/** @throws when causes are written for a code that is none */
export function troubleshootingPage(sections: readonly (readonly [title: string, kinds: readonly ErrorKind[]])[]): string {
  const known = new Set(sections.flatMap(([, kinds]) => kinds.map((kind) => kind.code)));
  const unknown = Object.keys(CAUSES).filter((code) => !known.has(code));
  if (unknown.length > 0) throw new Error(`no such error: ${unknown.join(', ')}`);
  const parts = sections.map(([title, kinds]) => `## ${title}\n\n${kinds.map(entry).join('\n')}`);
  return `# Troubleshooting

<!-- Written by scripts/docs.ts from src/core/errors.ts and scripts/troubleshooting.ts. -->

Every error has a code. Exit codes and what may pass by itself are in [errors.md](errors.md).

${FIRST}
${parts.join('\n')}`;
}
