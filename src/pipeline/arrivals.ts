/**
 * Collections that begin for a pipeline without inserts: by a rename (`$out` ends with one, too), or because the filter is wider
 * than it was. The stream alone would never bring their documents.
 *
 * Invariant: what is to be read whole because of an event is in the state of the checkpoint before the position of that event is.
 * Whoever has not asked for snapshots (`startAt`) is told what is missing, and how to get it.
 */
import { OPERATION_INDEX, type EventBatch } from '../core/event.ts';
import { textOf } from '../core/line.ts';
import { formatNamespace, NamespaceFilter, type Namespace } from '../core/namespace.ts';
import type { SnapshotPoint, SnapshotTarget } from '../core/snapshot.ts';
import type { Logger } from '../ops/log.ts';
import type { Checkpoint } from './checkpoint.ts';
import { newSnapshot, type SnapshotCause, type SnapshotRecord, type SnapshotStart } from './snapshot-record.ts';

const RENAME = OPERATION_INDEX.get('rename')!;

/** What the renames of a batch have given new names to. */
export function renameTargets({ ops, count, lines, ends }: EventBatch): readonly Namespace[] {
  const targets: Namespace[] = [];
  for (let i = ops.indexOf(RENAME); i >= 0 && i < count; i = ops.indexOf(RENAME, i + 1)) {
    const to = textOf(lines.subarray(i === 0 ? 0 : ends[i - 1], ends[i]), 'to');
    if (to !== null) targets.push(JSON.parse(to) as Namespace);
  }
  return targets;
}

/** What is covered now, and was not by the filter of before. */
export function includedSince(before: NonNullable<Checkpoint['filter']>, targets: readonly SnapshotTarget[]): readonly SnapshotTarget[] {
  const former = new NamespaceFilter(before.include, before.exclude);
  return targets.filter(({ namespace }) => !former.matches(namespace));
}

export function isSameFilter(a: Checkpoint['filter'], b: Checkpoint['filter']): boolean {
  return JSON.stringify([a?.include, a?.exclude]) === JSON.stringify([b?.include, b?.exclude]);
}

/**
 * Takes up collections in the state of the checkpoint, to be read at a point. One that is being read already is read once more after
 * that: nobody knows which of its documents it has.
 */
export function takeUp(state: Checkpoint, targets: readonly SnapshotTarget[], start: SnapshotStart, log: Logger): void {
  for (const target of targets) {
    const collection = formatNamespace(target.namespace);
    if (target.refused !== null) {
      log.warn({ collection, reason: target.refused }, 'this collection came with documents, and there is no snapshot of it');
      continue;
    }
    log.info({ collection, cause: start.cause }, 'this collection came with documents: it is read whole');
    const under = state.snapshots.find(({ ns }) => formatNamespace(ns) === collection);
    if (under === undefined) state.snapshots.push(newSnapshot(target, start));
    else readAgain(under, start);
  }
}

/** A repair stays one, whatever else comes: a gap is mended when the last of them is read. */
export function readAgain(under: SnapshotRecord, { cause, at }: Pick<SnapshotStart, 'cause' | 'at'>): void {
  const isRepair = under.again?.cause === 'repair';
  under.again = { cause: isRepair ? 'repair' : cause, at: { position: at.position, clusterTime: at.clusterTime } };
}

/** Loud, since nothing else will say it. */
export function tellMissing(collections: readonly Namespace[], cause: SnapshotCause, log: Logger): void {
  if (collections.length === 0) return;
  const names = collections.map((ns) => formatNamespace(ns));
  const why = cause === 'renamed' ? 'were renamed' : 'are included only now';
  log.warn(
    { collections: names.slice(0, 20), count: names.length },
    `collections ${why}, and what they held before is in neither lake nor silver: \`sluice snapshot ${names[0]}\` reads it, \`source.startAt: snapshot\` does so by itself`,
  );
}

/** The snapshot of a collection that was taken up again while it was read. */
export function nextOf({ ns, estimate, again }: Checkpoint['snapshots'][number], begunAt: string, since: string): Checkpoint['snapshots'] {
  if (again === undefined) return [];
  const target = { namespace: ns, documents: estimate?.documents ?? null, bytes: estimate?.bytes ?? null, refused: null, caveat: null };
  const at: SnapshotPoint = again.at;
  return [newSnapshot(target, { cause: again.cause, at, begunAt, since })];
}
