/**
 * Deliberate mistakes, each of which must make a test fail: scripts/mutations.ts makes them, docs/mutations.md lists them.
 *
 * A mistake is one small text that another one replaces. Texts are short, so that they outlive changes around them, and must
 * occur once in their file; test/mutations.test.ts says so when one does not any more. Tests are those that are most
 * likely to fail, in stages: the next one is run only if the one before has noticed nothing.
 */

export interface Mutation {
  /** What is wrong then, in a few words. */
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Test files, or folders of them, in stages. */
  readonly tests: readonly (readonly string[])[];
}

const CAPTURE = ['src/pipeline/capture.test.ts', 'src/pipeline/capture.restart.test.ts', 'src/pipeline/capture.ownership.test.ts'];
const SCHEDULES = ['test/crash/schedules.test.ts'];
const ZOMBIES = ['test/crash/zombies.test.ts'];
const LOADER = ['src/pipeline/loader.test.ts'];
const WAREHOUSE = ['src/warehouse/duckdb/duckdb.test.ts'];
const SILVER = ['src/warehouse/duckdb/silver.property.test.ts'];
const MEMORY = ['src/warehouse/duckdb/memory.test.ts'];

/** Run when the tests of a mutation have noticed nothing: whether anything at all would have. */
export const BROADER: readonly string[] = ['src/pipeline', 'src/lake', 'src/warehouse', 'test/crash/schedules.test.ts', 'test/crash/zombies.test.ts'];

export const MUTATIONS: readonly Mutation[] = [
  ...inFile('src/pipeline/writer.ts', [
    ['new parts are made before a checkpoint names them', `await this.#committer.save('intent');`, '', [CAPTURE, SCHEDULES]],
    ['the number of a part is given twice', 'hour.next += 1;', '', [CAPTURE, SCHEDULES]],
    [
      'the position moves when a batch is read, not when it is durable',
      'this.#planned = batch;',
      'this.#planned = batch; this.#committer.state.resume = batch.resume;',
      [CAPTURE, SCHEDULES],
    ],
    ['the watermark stands still', 'laterTimestamp(state.watermark, batch.watermark)', 'state.watermark', [CAPTURE]],
    ['an event of an hour that is published is taken', 'this.#assertNotPassed(events);', '', [CAPTURE]],
    ['what the lake holds is written again', 'this.#floors.holds(events, i, start, route.key)', 'false', [CAPTURE, SCHEDULES]],
    ['the replay of a changed filter saves its position too early', '!this.#floors.isAtStart(batch.resume.clusterTime)', 'true', [SCHEDULES]],
    ['part after part is created without asking who owns the pipeline by now', 'await this.#committer.assertOwner();', '', [CAPTURE, ZOMBIES]],
  ]),
  ...inFile('src/pipeline/parts.ts', [
    ['the last position of a part is that of its first append', 'record.last = added.last;', 'record.last ??= added.last;', [CAPTURE, SCHEDULES]],
    ['a part counts the rows of its last append alone', 'record.rows += added.rows;', 'record.rows = added.rows;', [CAPTURE, SCHEDULES]],
  ]),
  ...inFile('src/pipeline/floor.ts', [
    [
      'the floor is compared with < where it must be <=',
      'if (positionAt(batch.lines, start) <= floor.position) return true;',
      'if (positionAt(batch.lines, start) < floor.position) return true;',
      [CAPTURE, SCHEDULES],
    ],
    ['a lower part lowers the floor', 'if (order < 0) return;', '', [['src/pipeline/floor.test.ts']]],
    ['one event in the lake drops all that look like it', 'this.#identities.set(id, left - 1)', 'this.#identities.set(id, left)', [SCHEDULES]],
    [
      'a replay drops what is at its first cluster time, seen or not',
      '=== 0 && this.#take(line())) return true;',
      '=== 0) return true;',
      [SCHEDULES],
    ],
  ]),
  ...inFile('src/pipeline/recovery.ts', [
    ['a new owner keeps the epoch of the former one', 'state.epoch += 1;', '', [CAPTURE, SCHEDULES]],
    ['a crash looks like a clean stop to the next owner', 'state.cleanStop = false;', '', [CAPTURE, SCHEDULES]],
    ['parts are continued after a crash', 'if (wasClean && asRecorded', 'if (asRecorded', [CAPTURE, SCHEDULES]],
    ['what lies beyond the checkpoint is not read', 'if (!asRecorded) {', 'if (asRecorded && false) {', [CAPTURE, SCHEDULES]],
    ['recovery does not cut back', 'length: known }', 'length: (await lake.stat(record.path))?.size ?? 0 }', [['src/pipeline/recovery.test.ts']]],
    ['seals that the former owner began are not finished', 'await sealer.finishPredecessor(begun, signal);', '', [CAPTURE, SCHEDULES]],
    ['parts are fenced without asking who owns the pipeline by now', 'await committer.assertOwner();', '', [CAPTURE, ZOMBIES]],
    ['parts of another filter are forgotten by the next replay', '!state.parts.some(reachesBeyond)', 'true', [SCHEDULES]],
    ['sealed files are forgotten by a replay', '!named.has(line.path) && reaches(line.lastAt)', 'false', [SCHEDULES]],
  ]),
  ...inFile('src/pipeline/sealer.ts', [
    ['parts are sealed before the checkpoint says so', `await this.#committer.save('sealing');`, '', [CAPTURE, SCHEDULES]],
    ['parts are sealed that the position does not cover', 'isCovered(part.record, state)', 'true', [CAPTURE, SCHEDULES]],
    ['hours are published before the checkpoint says so', `await this.#committer.save('publishing');`, ';', [CAPTURE, SCHEDULES]],
    ['an hour is published while a part of it is open', '!held.has(hourKey(h.ns, h.hour))', 'true', [['src/pipeline/sealer.test.ts']]],
    ['an hour is published before it is over', 'h.hour < now', 'h.hour <= now', [CAPTURE, SCHEDULES]],
  ]),
  ...inFile('src/pipeline/publish.ts', [
    [
      'an hour with a gap gets _SUCCESS',
      `if (path.endsWith('/_manifest.json') && !isInGap(`,
      `if (path.endsWith('/_manifest.json') || !isInGap(`,
      [CAPTURE, ['test/e2e/servers.mongo.test.ts']],
    ],
    ['an hour with a gap is called complete', 'complete: !isInGap(', 'complete: true || isInGap(', [CAPTURE, ['test/e2e/servers.mongo.test.ts']]],
  ]),
  ...inFile('src/pipeline/ledger.ts', [
    ['a ledger line is written twice', 'lines.filter((line) => !this.#paths.has(line.path))', '[...lines]', [CAPTURE, SCHEDULES]],
    ['a ledger file is made before a checkpoint names it', `await this.#committer.save('ledger-intent');`, '', [CAPTURE, ZOMBIES]],
    ['the checkpoint does not learn how long the ledger is', 'this.#committer.state.ledger!.length = appender.length;', '', [CAPTURE, SCHEDULES]],
  ]),
  ...inFile('src/pipeline/committer.ts', [
    [
      'the checkpoint is replaced whoever wrote it last',
      'this.#lake.put(this.#path, bytes, this.#file)',
      `this.#lake.put(this.#path, bytes, (await this.#lake.stat(this.#path)) ?? 'absent')`,
      [CAPTURE, ZOMBIES],
    ],
    ['whoever asks is told that he is the owner', 'now?.etag === this.#file.etag', 'now !== null', [CAPTURE, ZOMBIES]],
  ]),
  ...inFile('src/pipeline/checkpoint.ts', [
    [
      'a checkpoint without its watermark is read as if it had one',
      `['watermark', isTime(raw['watermark'])],`,
      '',
      [['src/pipeline/checkpoint.test.ts']],
    ],
    ['the resume token is not saved', `Buffer.from(resume.token).toString('base64')`, `''`, [['src/pipeline/checkpoint.test.ts']]],
  ]),
  ...inFile('src/pipeline/start.ts', [
    ['lost history is not recorded', `await committer.save('gap');`, '', [CAPTURE]],
    ['a recorded gap is passed over without anybody having said so', 'if (!acceptGap && !isRepaired)', 'if (false)', [CAPTURE]],
  ]),
  ...inFile('src/pipeline/capture.ts', [
    ['a clean stop is not saved', `committer.state.cleanStop = true;`, '', [CAPTURE]],
    [
      'a stop leaves what was read unwritten',
      'await this.#snapshots?.stop(always);\n    await this.#commit(committer, recovered, always);',
      'await this.#snapshots?.stop(always);',
      [CAPTURE],
    ],
  ]),
  ...inFile('src/source/mongo/mongo-source.ts', [
    [
      'a stream that broke goes on where it first began',
      'point = batch.resume;\n          yield batch;',
      'yield batch;',
      [['test/e2e/servers.mongo.test.ts']],
    ],
    [
      'a stream goes on by its cluster time, not by its token',
      'startAfter: deserialize(this.#seal.open(after.token), { promoteValues: false })',
      'startAtOperationTime: bsonTimestamp(after.clusterTime)',
      [['test/e2e/operations.mongo.test.ts']],
    ],
  ]),
  ...inFile('src/source/mongo/server-errors.ts', [
    ['lost history is tried again', 'if (row !== undefined) return', 'if (row === undefined) return', [['src/source/mongo/server-errors.test.ts']]],
  ]),
  ...inFile('src/lake/local/local.ts', [
    ['a part is not cut back to what was durable', 'await handle.truncate(length);', '', [['src/lake/local/local.test.ts']]],
  ]),
  ...inFile('src/pipeline/loader.ts', [
    ['complete_through passes a part that is open', 'first !== undefined && compareTimestamps(first, checkpoint.watermark) < 0', 'false', [LOADER]],
    [
      'complete_through passes a file that was rejected',
      'if (paused.has(name) || behind.has(name) || unread.has(name)) continue;',
      'if (paused.has(name) || unread.has(name)) continue;',
      [LOADER],
    ],
    [
      'the checkpoint is read after the ledger',
      'this.#markComplete(checkpoint, paused',
      'this.#markComplete(await this.#readCheckpoint(signal), paused',
      [LOADER],
    ],
    [
      'a rejected file is tried with every round',
      '!retry && this.#quarantine.holds(line.path, this.#options.clock.now())',
      'retry && this.#quarantine.holds(line.path, this.#options.clock.now())',
      [LOADER],
    ],
    ['a pause that comes while a collection fails is undone', `'ERROR', reasonOf(error), NOT_PAUSED)`, `'ERROR', reasonOf(error))`, [LOADER]],
    ['one collection holds the others', 'if (collections.length > 1) {', 'if (collections.length > 1000) {', [LOADER]],
    ['a rejected file is never tried again', 'if (rejected.has(line.path)) pending.push(line);', 'if (false) pending.push(line);', [LOADER]],
  ]),
  ...inFile('src/warehouse/duckdb/loader.ts', [
    ['rows are committed without their ledger row', 'await session.run(insertLedger(', 'void (insertLedger(', [WAREHOUSE]],
    ['a file that was cut is loaded', 'if (rows !== line.rows) throw', 'if (rows === -1) throw', [WAREHOUSE]],
    [
      'drops are loaded and not noted as baselines',
      'if (sum.rows > 0) await session.run(insertBaselines',
      'if (sum.rows < 0) await session.run(insertBaselines',
      [WAREHOUSE],
    ],
  ]),
  ...inFile('src/warehouse/steps/merger.ts', [
    [
      'what a snapshot has not brought stays current when its events come later',
      'else if (sum.lowest !== null && sum.lowest < sum.newest)',
      'else if (sum.lowest === null)',
      [WAREHOUSE, SILVER],
    ],
    ['a batch is merged again by the next merge', 'await session.run(markMerged(context.catalog, ns, range.upTo, range.baseline));', '', [WAREHOUSE]],
    [
      'a drop that comes late takes nothing',
      'if (entry.baseline > entry.baseline_applied) {',
      'if (entry.baseline < entry.baseline_applied) {',
      [WAREHOUSE, SILVER],
    ],
    ['deleted documents are forgotten while older rows wait', '&& !isUnmerged(entry)) {', ') {', [WAREHOUSE]],
  ]),
  ...inFile('src/warehouse/sql/learner.ts', [
    ['a batch is learnt again by the next merge', 'await session.run(markLearnt(catalog, entry, batches.upTo));', '', [WAREHOUSE]],
    ['a view of an array takes the name of another', '(one) => !taken.has(one.toLowerCase())', '() => true', [WAREHOUSE]],
  ]),
  ...inFile('src/warehouse/duckdb/rebuild.ts', [
    [
      'a rebuild does not say what it has folded',
      'await session.run(markMerged(context.catalog, entry, progress.upTo, progress.baseline));',
      '',
      [WAREHOUSE],
    ],
  ]),
  ...inFile('src/warehouse/duckdb/fold.ts', [
    [
      'a document follows the last load, not the newest event',
      `coalesce(b.doc_position > coalesce(s.doc_position, ''), FALSE)`,
      'b.doc_position IS NOT NULL',
      [WAREHOUSE, SILVER],
    ],
    [
      'a delete is undone by an older insert',
      `CASE WHEN b.position <= s.position THEN s.is_current`,
      'CASE WHEN false THEN s.is_current',
      [WAREHOUSE, SILVER],
    ],
    ['a part of the keys is left out', `(_, part) => foldPart(`, '(_, part) => part > 0 ? [] : foldPart(', [MEMORY]],
  ]),
  ...inFile('src/warehouse/sql/silver.ts', [
    [
      'a baseline takes nothing that is loaded later',
      `AND \${column('position')} > \${range.baseline}`,
      `AND \${column('position')} > ''`,
      [WAREHOUSE, SILVER],
    ],
  ]),
];

type Row = readonly [name: string, find: string, replace: string, tests: Mutation['tests']];

function inFile(file: string, rows: readonly Row[]): Mutation[] {
  return rows.map(([name, find, replace, tests]) => ({ name, file, find, replace, tests }));
}

/** The page docs/mutations.md. */
export function mutationsPage(): string {
  const cell = (text: string): string => (text === '' ? 'nothing' : `\`${text.replaceAll('|', String.raw`\|`).replaceAll(/\s*\n\s*/g, ' ')}\``);
  const rows = MUTATIONS.map(
    ({ name, file, find, replace, tests }) =>
      `| ${name} | \`${file}\` | ${cell(find)} | ${cell(replace)} | ${tests
        .flat()
        .map((path) => `\`${path}\``)
        .join(', ')} |`,
  );
  return `# Mutations

<!-- Written by scripts/docs.ts from scripts/mutation-list.ts. -->

A test that cannot fail proves nothing. Below are ${MUTATIONS.length} deliberate mistakes in writer, recovery, sealer, floor, committer, checkpoint, ledger, loader,
merger and source. \`npm run test:mutations\` makes each of them in a copy of the repository, one at a time, and runs tests until one fails; a mistake that no test
notices fails the run, and so does one whose text is not found any more. \`npm run test:nightly\` does the same at its end.

| mistake | file | instead of | there is | found by one of |
|---|---|---|---|---|
${rows.join('\n')}
`;
}
