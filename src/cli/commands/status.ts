import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { CollectionReport, PipelineStatus, SnapshotReport } from '../../app/types.ts';
import type { StorageReport, VerificationOverview } from '../../app/overview-types.ts';
import { systemClock } from '../../core/clock.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io, type Terminal } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { heldText } from './retain.ts';
import { countOf, formatAge, formatCount, formatSize, renderTable } from '../table.ts';

const WATCH_MS = 2000;
const CLEAR_SCREEN = '\u001b[H\u001b[2J';

export function statusCommand(program: Command, io: Io): void {
  program
    .command('status')
    .summary('where the pipeline stands, per collection')
    .description(
      'Position, lag, open and sealed files, loads, gaps and oplog headroom. Asks the running process of this user on this machine, or reads the checkpoint and the ledger. State unknown: no owner could be asked, and the last one has not said that it stopped.',
    )
    .option('--watch', 'show it again every 2 seconds, until Ctrl-C', false)
    .action(async (flags: { readonly watch: boolean }, command: Command) => {
      const config = await loadConfigFor(io, command);
      const log = await logFor(io, command, 'warn');
      const { json } = globalsOf(command);
      const read = (): Promise<PipelineStatus> =>
        askOwnerOr<PipelineStatus>(io, config, '/api/status', {}, async () => {
          const { readStatus } = await import('../../app/status.ts');
          return await readStatus(config, { log }, io.signal);
        });
      const show = (status: PipelineStatus): void => {
        if (json) printJson(io, status);
        else if (flags.watch && io.stdout.isTTY) io.stdout.write(`${CLEAR_SCREEN}${renderScreen(status, io.stdout)}`);
        else io.stdout.write(renderStatus(status, io.stdout));
      };
      show(await read());
      while (flags.watch && !io.signal.aborted) {
        await systemClock.sleep(WATCH_MS, io.signal).catch(() => undefined);
        if (!io.signal.aborted) show(await read());
      }
    });
}

/** As much as fits: what is not well first, the end of a long list not at all. */
export function renderScreen(status: PipelineStatus, to: Terminal): string {
  const isWell = ({ status: is }: CollectionReport): boolean => is === null || is === 'ACTIVE' || is === 'DISCOVERED';
  const sorted = status.collections.toSorted((a, b) => Number(isWell(a)) - Number(isWell(b)));
  const others = renderStatus({ ...status, collections: [] }, to).split('\n').length;
  const room = Math.max(1, to.rows - others - 4);
  const hidden = Math.max(0, sorted.length - room);
  const more = hidden === 0 ? '' : `and ${formatCount(hidden)} more: \`sluice status\`, or the dashboard\n`;
  return `${renderStatus({ ...status, collections: sorted.slice(0, room) }, to)}${more}`;
}

const UNKNOWN = ': it runs elsewhere, or has not ended in good order';

export function renderStatus(status: PipelineStatus, to: Terminal): string {
  const style = (format: Parameters<typeof styleText>[0], text: string): string => (to.isTTY ? styleText(format, text) : text);
  const good = ['running', 'stopped', 'standby'].includes(status.state);
  const state = style(good ? 'green' : status.state === 'failed' ? 'red' : 'yellow', status.state);
  const facts: readonly (readonly [string, string | null])[] = [
    ['pipeline', status.pipeline],
    ['state', `${state}${status.pid === null ? '' : `, process ${status.pid}`}, owner ${status.epoch}${status.state === 'unknown' ? UNKNOWN : ''}`],
    ['loader', status.loader === null ? null : `process ${status.loader.pid}, which loads alone`],
    [
      'durable up to',
      status.watermark === null ? 'nothing yet' : `${status.watermark}${status.lagSeconds === null ? '' : ` (${formatAge(status.lagSeconds)} ago)`}`,
    ],
    ['position', status.position],
    ['checkpoint', status.checkpointSavedAt === null ? 'none' : `saved ${status.checkpointSavedAt}`],
    ['storage', status.storage === null ? null : storageText(status.storage)],
    [
      'dead letters',
      status.deadLetters === null || status.deadLetters === 0 ? null : `${formatCount(status.deadLetters)}: see \`sluice dead-letters list\``,
    ],
    ['verified', status.verification === null ? null : verificationText(status.verification, style)],
    ['lake begins', status.retention.hoursBefore === null ? null : `with the hour ${status.retention.hoursBefore}: what was older is removed`],
    ['oplog', status.oplogHours === null ? null : oplogText(status.oplogHours, status.oplogHeadroomSeconds)],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = facts.filter(([, text]) => text !== null).map(([name, text]) => `${name.padEnd(width)}  ${text}\n`);
  const gaps = status.gaps.map(({ from, to, cause, repaired }) => {
    const mended = repaired === null ? '' : `; mended ${repaired}`;
    return `${style(repaired === null ? 'red' : 'green', 'gap')}  ${from} to ${to}: ${cause}${mended}\n`;
  });
  const snapshots = status.snapshots.map(
    (snapshot) => `${style(snapshot.failed === null ? 'yellow' : 'red', 'snapshot')}  ${snapshotText(snapshot)}\n`,
  );
  const held = status.retention.held.map((each) => `${style('yellow', 'held')}  ${heldText(each)}\n`);
  const table = status.collections.length === 0 ? 'no collections yet\n' : renderCollections(status.collections, to);
  return [...lines, ...gaps, ...snapshots, ...held, '\n', table].join('');
}

function snapshotText({ namespace, documents, rows, ranges, secondsLeft, failed }: SnapshotReport): string {
  if (failed !== null) return `${namespace}: stopped after ${countOf(rows, 'document')}: ${failed}`;
  if (ranges === null) return `${namespace}: waits for its turn${documents === null ? '' : `, about ${countOf(documents, 'document')}`}`;
  const of = documents === null ? '' : ` of about ${formatCount(documents)}`;
  const left = secondsLeft === null ? '' : `, about ${formatAge(secondsLeft)} to go`;
  return `${namespace}: ${countOf(rows, 'document')}${of} read, ${ranges.done} of ${countOf(ranges.total, 'range')}${left}`;
}

function verificationText({ endedAt, ok, failure, checks }: VerificationOverview, style: (format: 'red' | 'green', text: string) => string): string {
  const when = endedAt ?? '';
  if (ok === true) {
    const compared = checks.flatMap(({ name, checked }) => (checked === undefined ? [] : [UNITS[name]?.(checked) ?? '']));
    return `${when}: ${style('green', 'everything agrees')} (${compared.join(', ')})`;
  }
  if (failure !== null) return `${when}: ${style('red', 'could not be done')}: ${failure}`;
  const found = checks.flatMap(({ counts = {} }) => Object.entries(counts).map(([name, count = 0]) => `${formatCount(count)} ${name}`));
  return `${when}: ${style('red', 'something is off')}: ${found.join(', ')}; see \`sluice verify\``;
}

/** What a check compares. */
const UNITS: Readonly<Record<string, (count: number) => string>> = {
  lake: (count) => `${countOf(count, 'row')} of the lake`,
  warehouse: (count) => `${countOf(count, 'row')} of the warehouse`,
  events: (count) => countOf(count, 'event'),
  documents: (count) => countOf(count, 'document'),
};

function oplogText(hours: number, headroomSeconds: number | null): string {
  const history = `${hours.toFixed(1)} hours of history`;
  if (headroomSeconds === null) return history;
  if (headroomSeconds === 0) return `${history}; what comes next after the last position is gone`;
  return `${history}; it has what is needed for ${formatAge(headroomSeconds)} more if capture stands still`;
}

function storageText({ writes, reads, lists, writesPerMillionEvents }: StorageReport): string {
  const rate = writesPerMillionEvents === null ? '' : `; ${formatCount(writesPerMillionEvents)} writes per million events`;
  return `${formatCount(writes)} writes, ${formatCount(reads)} reads, ${formatCount(lists)} lists since the owner began${rate}`;
}

function renderCollections(collections: readonly CollectionReport[], to: Terminal): string {
  const warehouse = collections.some((row) => row.status !== null);
  const columns = [
    'collection',
    ...(warehouse ? ['status'] : []),
    'open',
    'sealed',
    'rows',
    'size',
    ...(warehouse ? ['loaded', 'complete through'] : []),
    'last event',
  ];
  const rows = collections.map((row) => [
    row.namespace,
    ...(warehouse ? [`${row.status ?? ''}${row.reason === null ? '' : `: ${row.reason}`}`] : []),
    row.partsOpen,
    row.filesSealed,
    formatCount(row.rowsSealed),
    formatSize(row.bytesSealed),
    ...(warehouse ? [row.rowsLoaded === null ? '' : formatCount(row.rowsLoaded), row.completeThrough && seconds(row.completeThrough)] : []),
    row.lastEventAt && seconds(row.lastEventAt),
  ]);
  return renderTable(columns, rows, to);
}

/** To the second: a terminal has no room for more. */
function seconds(iso: string): string {
  return iso.replace(/\.\d+Z$/, 'Z');
}
