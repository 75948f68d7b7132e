import { Option, type Command } from 'commander';
import type { SchemaReport } from '../../app/types.ts';
import { compareSchemas, formatPath } from '../../core/document-schema.ts';
import { SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import type { SchemaVersion } from '../../core/warehouse.ts';
import { wholeNumber } from '../args.ts';
import { globalsOf, loadConfigFor, logFor, printJson, type Io } from '../io.ts';
import { askOwnerOr } from '../owner.ts';
import { ddlOf, fieldRows, jsonSchemaOf } from '../schema-text.ts';
import { countOf, renderTable } from '../table.ts';

const VERSION_MAX = 1_000_000_000;

interface ShowFlags {
  readonly format: 'table' | 'json-schema' | 'ddl';
  readonly revision?: number;
  readonly check: boolean;
}

export function schemaCommand(program: Command, io: Io): void {
  const schema = program
    .command('schema')
    .summary('what the documents of a collection look like')
    .description(
      'Field paths with their BSON types, as they were learnt from what was loaded, and the columns of the views in gold. Without a collection: an overview of all.',
    )
    .argument('[collection]', 'database.collection')
    .addOption(new Option('--format <format>', 'how to print it').choices(['table', 'json-schema', 'ddl']).default('table'))
    .option('--revision <number>', 'an earlier version; the newest when left out', wholeNumber(1, VERSION_MAX))
    .option('--check', 'also count the documents whose values the view shows as NULL; reads all of silver', false)
    .action(async (collection: string | undefined, flags: ShowFlags, command: Command) => {
      if (collection === undefined) return await overview(io, command);
      const { versions, failedCasts } = await ask(io, command, collection, flags.check);
      const version = versionOf(versions, flags.revision, collection);
      if (globalsOf(command).json) return printJson(io, { namespace: collection, ...version, failedCasts });
      if (flags.format === 'json-schema') return io.stdout.write(`${JSON.stringify(jsonSchemaOf(collection, version), null, 2)}\n`);
      if (flags.format === 'ddl') return io.stdout.write(ddlOf(version));
      const columns = ['field', 'types', 'of documents', 'view', 'column', 'type', 'conflicts', ...(failedCasts === null ? [] : ['shown as NULL'])];
      io.stdout.write(renderTable(columns, fieldRows(version, failedCasts), io.stdout));
      io.stdout.write(`Version ${version.version} since ${version.validFrom}, learnt from ${countOf(version.documents, 'document')}.\n`);
    });
  schema
    .command('diff')
    .summary('what is different between two versions of a schema')
    .description('Paths and types that one of the two versions has and the other has not. Without numbers: the newest two.')
    .argument('<collection>', 'database.collection')
    .argument('[from]', 'the older version', wholeNumber(1, VERSION_MAX))
    .argument('[to]', 'the newer version', wholeNumber(1, VERSION_MAX))
    .action(async (collection: string, from: number | undefined, to: number | undefined, _flags: unknown, command: Command) => {
      const { versions } = await ask(io, command, collection, false);
      const newer = versionOf(versions, to, collection);
      const older = versionOf(versions, from ?? Math.max(1, newer.version - 1), collection);
      const changes = compareSchemas(older.fields, newer.fields);
      if (globalsOf(command).json) return printJson(io, { namespace: collection, from: older.version, to: newer.version, changes });
      if (changes.length === 0) return io.stdout.write(`Versions ${older.version} and ${newer.version} are the same.\n`);
      const rows = changes.map(({ path, gone, added }) => [formatPath(path), gone.join(', '), added.join(', ')]);
      io.stdout.write(renderTable(['field', `only in ${older.version}`, `only in ${newer.version}`], rows, io.stdout));
    });
}

async function overview(io: Io, command: Command): Promise<void> {
  const { collections } = await report(io, command, null, false);
  const rows = collections.map(({ namespace, versions }) => {
    const newest = versions.at(-1);
    const conflicts = newest?.columns.filter((column) => column.conflicts > 0).length ?? 0;
    return { namespace, version: newest?.version ?? null, fields: newest?.fields.length ?? null, conflicts, since: newest?.validFrom ?? null };
  });
  if (globalsOf(command).json) return printJson(io, { collections: rows });
  if (rows.length === 0) return io.stdout.write('None yet.\n');
  const cells = rows.map((row) => [row.namespace, row.version, row.fields, row.conflicts, row.since]);
  io.stdout.write(renderTable(['collection', 'version', 'fields', 'fields with conflicts', 'since'], cells, io.stdout));
}

async function ask(io: Io, command: Command, collection: string, check: boolean): Promise<SchemaReport['collections'][number]> {
  const { collections } = await report(io, command, collection, check);
  const [found] = collections;
  if (found === undefined) throw new SluiceError(USAGE, `nothing is known of ${collection}`);
  return found;
}

async function report(io: Io, command: Command, collection: string | null, check: boolean): Promise<SchemaReport> {
  const config = await loadConfigFor(io, command);
  const log = await logFor(io, command, 'warn');
  const args = { collection, check };
  return await askOwnerOr<SchemaReport>(io, config, '/api/schema', args, async () => {
    const { readSchemas } = await import('../../app/schema.ts');
    return await readSchemas(config, args, { log }, io.signal);
  });
}

function versionOf(versions: readonly SchemaVersion[], wanted: number | undefined, collection: string): SchemaVersion {
  const found = wanted === undefined ? versions.at(-1) : versions.find(({ version }) => version === wanted);
  if (found !== undefined) return found;
  if (versions.length === 0)
    throw new SluiceError(USAGE, `nothing of ${collection} is loaded yet`, { next: 'Load it, or run `sluice discover --sample 100`.' });
  throw new SluiceError(USAGE, `${collection} has no version ${wanted}`, { next: `There are 1 to ${versions.length}.` });
}
