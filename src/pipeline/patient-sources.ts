/**
 * A source that is asked until it answers, as its stream is read until it comes back: for a run that is under way, whose end would help
 * nobody. A first start is told at once that the source is not there; who waits for an answer of his own is told, too.
 */
import type { SnapshotSource } from '../core/snapshot.ts';
import type { Source } from '../core/source.ts';
import { patiently, type Patience } from './patience.ts';

export interface Sources {
  readonly source: Source;
  readonly snapshots?: SnapshotSource;
}

export function patientSources({ source, snapshots }: Sources, patience: Patience): Sources {
  return {
    source: {
      open: (signal) => patiently(patience, 'opening the source', () => source.open(signal), signal),
      resolve: (start, signal) => patiently(patience, 'asking where to read on', () => source.resolve(start, signal), signal),
      changes: (after, signal) => source.changes(after, signal),
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    },
    ...(snapshots && { snapshots: patientSnapshots(snapshots, patience) }),
  };
}

export function patientSnapshots(source: SnapshotSource, patience: Patience): SnapshotSource {
  return {
    covers: (ns) => source.covers(ns),
    targets: (signal) => patiently(patience, 'asking for the collections', () => source.targets(signal), signal),
    cut: (ns, parts, signal) => patiently(patience, 'cutting a collection', () => source.cut(ns, parts, signal), signal),
    documents: (ns, range, at, signal) => source.documents(ns, range, at, signal),
    clusterTime: (signal) => patiently(patience, 'asking for the time', () => source.clusterTime(signal), signal),
    hurry: (signal) => source.hurry(signal),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
