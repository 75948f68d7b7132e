/**
 * Turns pre- and post-images on, which `fullDocument` and `fullDocumentBeforeChange` above `updateLookup` need.
 *
 * They cost the server space (`config.system.preimages`) and about half of its write rate, so nothing here happens
 * unless somebody asks; turning them on for a collection that has them does nothing.
 */
import { formatNamespace, type Namespace } from '../../core/namespace.ts';
import { judge, serverSays } from './server-errors.ts';
import { matchingCollections, withClient, type CollectionInfo } from './inspect.ts';
import { SluiceError } from '../../core/error.ts';
import { SOURCE_DENIED } from '../../core/errors.ts';

export interface ImagesScope {
  readonly uri: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

export interface ImagesState {
  /** Have them already. */
  readonly on: readonly string[];
  readonly off: readonly Namespace[];
  /** Views and time series cannot have them. */
  readonly impossible: readonly { readonly namespace: string; readonly type: string }[];
}

export function readImages(scope: ImagesScope, signal: AbortSignal): Promise<ImagesState> {
  return withClient(scope.uri, signal, async (client) => imagesOf(await matchingCollections(client, scope.include, scope.exclude)));
}

export function imagesOf(collections: readonly CollectionInfo[]): ImagesState {
  const plain = collections.filter((info) => info.type === 'collection');
  return {
    on: plain.filter((info) => info.images).map((info) => formatNamespace(info.namespace)),
    off: plain.filter((info) => !info.images).map((info) => info.namespace),
    impossible: collections
      .filter((info) => info.type !== 'collection')
      .map((info) => ({ namespace: formatNamespace(info.namespace), type: info.type })),
  };
}

/**
 * One `collMod` for each collection.
 * @param done told each collection when it is done
 * @throws SOURCE_DENIED naming the grant; those before it are done
 */
export function enableImages(uri: string, namespaces: readonly Namespace[], done: (namespace: string) => void, signal: AbortSignal): Promise<void> {
  return withClient(uri, signal, async (client) => {
    for (const ns of namespaces) {
      signal.throwIfAborted();
      try {
        await client.db(ns.db).command({ collMod: ns.coll, changeStreamPreAndPostImages: { enabled: true } });
      } catch (error) {
        const verdict = judge(error);
        if (verdict.do !== 'stop' || !SluiceError.is(verdict.error, SOURCE_DENIED)) throw error;
        const next = `In mongosh: \`use admin\`, then \`db.grantRolesToUser("<user>", [{ role: "dbAdmin", db: "${ns.db}" }])\`; it may be taken away again afterwards.`;
        throw new SluiceError(SOURCE_DENIED, `collMod on ${formatNamespace(ns)}: ${serverSays(error)}`, { cause: error, next });
      }
      done(formatNamespace(ns));
    }
  });
}
