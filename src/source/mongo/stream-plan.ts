/**
 * From a filter and options to the change stream that the server is asked for.
 *
 * One stream at the widest level that the configuration needs: MongoDB reads the whole oplog for every stream, so many
 * narrow ones cost the server many times over.
 */
import { createHash } from 'node:crypto';
import type { Document } from 'mongodb';
import { globToRegex, isLiteral, parseGlob, type NamespaceGlob } from '../../core/namespace.ts';

export type FullDocument = 'off' | 'updateLookup' | 'whenAvailable' | 'required';
export type FullDocumentBeforeChange = 'off' | 'whenAvailable' | 'required';

export interface StreamOptions {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** The user's own conditions on change events. */
  readonly match: Readonly<Document>;
  readonly fullDocument: FullDocument;
  readonly fullDocumentBeforeChange: FullDocumentBeforeChange;
}

export interface StreamPlan {
  readonly level: 'cluster' | 'database' | 'collection';
  /** Database that the command runs on. */
  readonly database: string;
  /** With level `collection`. */
  readonly collection: string | null;
  /** Stages after `$changeStream`. */
  readonly stages: readonly Document[];
  /** Options of `$changeStream`, without a start. */
  readonly changeStream: Readonly<Document>;
  /** Short, stable; differs when anything above differs. */
  readonly digest: string;
}

export function planStream(options: StreamOptions): StreamPlan {
  const include = options.include.map(parseGlob);
  const level = levelOf(include);
  const [first] = include;
  const changeStream: Document = { showExpandedEvents: true };
  if (level === 'cluster') changeStream['allChangesForCluster'] = true;
  if (options.fullDocument !== 'off') changeStream['fullDocument'] = options.fullDocument;
  if (options.fullDocumentBeforeChange !== 'off') changeStream['fullDocumentBeforeChange'] = options.fullDocumentBeforeChange;
  const stages: Document[] = [];
  if (!isWhole(level, include, options.exclude)) stages.push({ $match: namespaceMatch(include, options.exclude.map(parseGlob)) });
  if (Object.keys(options.match).length > 0) stages.push({ $match: options.match });
  const database = level === 'cluster' ? 'admin' : first!.db;
  const collection = level === 'collection' ? first!.coll : null;
  const digest = createHash('sha256')
    .update(JSON.stringify([level, database, collection, stages, changeStream], regexAsText))
    .digest('hex')
    .slice(0, 12);
  return { level, database, collection, stages, changeStream, digest };
}

/** As it stands a RegExp is `{}` in JSON: two filters would look alike. */
function regexAsText(_key: string, value: unknown): unknown {
  return value instanceof RegExp ? String(value) : value;
}

function levelOf(include: readonly NamespaceGlob[]): StreamPlan['level'] {
  const [first, ...others] = include;
  if (first === undefined || !isLiteral(first.db) || others.some((glob) => glob.db !== first.db)) return 'cluster';
  return others.length === 0 && isLiteral(first.coll) ? 'collection' : 'database';
}

/**
 * The level alone says what is wanted: a condition that every event meets would cost the server a seventh of its time.
 */
function isWhole(level: StreamPlan['level'], include: readonly NamespaceGlob[], exclude: readonly string[]): boolean {
  if (level === 'collection') return true;
  return exclude.length === 0 && include.some(({ db, coll }) => coll === '*' && (level === 'database' || db === '*'));
}

/**
 * Events of the collections, of their databases (dropDatabase has no collection), renames into them, and invalidate.
 * Exact `ns: { db, coll }` documents are cheaper for the server than `ns.coll`, so literals take that form.
 */
function namespaceMatch(include: readonly NamespaceGlob[], exclude: readonly NamespaceGlob[]): Document {
  const any: Document[] = [...oneOf('ns', include, exclude)];
  any.push(...oneOf('to', include, exclude).map((condition) => ({ operationType: 'rename', ...condition })));
  any.push({
    operationType: 'dropDatabase',
    ...condition(
      'ns.db',
      include.map((glob) => glob.db),
    ),
  });
  any.push({ operationType: 'invalidate' });
  return { $or: any };
}

function oneOf(field: 'ns' | 'to', include: readonly NamespaceGlob[], exclude: readonly NamespaceGlob[]): Document[] {
  const literal = include.filter((glob) => isLiteral(glob.db) && isLiteral(glob.coll));
  const open = include.filter((glob) => !literal.includes(glob));
  const not = exclude.length === 0 ? {} : { $nor: exclude.map((glob) => globCondition(field, glob)) };
  const out: Document[] = [];
  if (literal.length > 0) out.push({ [field]: { $in: literal.map(({ db, coll }) => ({ db, coll })) }, ...not });
  for (const glob of open) out.push({ ...globCondition(field, glob), ...not });
  return out;
}

function globCondition(field: 'ns' | 'to', glob: NamespaceGlob): Document {
  // Even `*` must find a collection: events of a database alone have their own condition.
  const coll = glob.coll === '*' ? { [`${field}.coll`]: { $exists: true } } : condition(`${field}.coll`, [glob.coll]);
  return glob.db === '*' ? coll : { ...condition(`${field}.db`, [glob.db]), ...coll };
}

function condition(field: string, globs: readonly string[]): Document {
  if (globs.includes('*')) return { [field]: { $exists: true } };
  const [only] = globs;
  if (globs.length === 1 && only !== undefined && isLiteral(only)) return { [field]: only };
  return { [field]: { $in: globs.map((glob) => (isLiteral(glob) ? glob : new RegExp(globToRegex(glob)))) } };
}
