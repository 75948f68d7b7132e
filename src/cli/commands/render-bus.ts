import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { EventHubsArgs } from '../../app/render-bus.ts';
import { reasonOf, SluiceError } from '../../core/error.ts';
import { USAGE } from '../../core/errors.ts';
import { wholeNumber } from '../args.ts';
import { loadConfigFor, type Io } from '../io.ts';
import { deliver, outOptions, type OutFlags } from './rendered.ts';

interface EventHubsFlags extends OutFlags {
  readonly tier: 'standard' | 'premium';
  readonly units: number;
  readonly partitions: number;
  readonly retentionHours?: number;
  readonly policies: EventHubsArgs['policies'];
  readonly capture?: string;
}

export function renderEventHubsCommand(render: Command, io: Io): void {
  const command = render
    .command('eventhubs')
    .summary('namespace, hub, Capture, consumer group and policies for `bus.url`')
    .description(
      'Writes an ARM template with its parameters, and the az commands that deploy it. With a connection string in `bus.auth` there are policies (Send, Listen); with `kind: default` role assignments, and keys are off. docs/rendered.md.',
    );
  outOptions(command, 'rendered/eventhubs')
    .addOption(new Option('--tier <tier>', 'tier of the namespace').choices(['standard', 'premium']).default('standard'))
    .option('--units <count>', 'throughput units (standard) or processing units (premium)', wholeNumber(1, 40), 1)
    .option('--partitions <count>', 'partitions, for ever', wholeNumber(1, 100), 4)
    .option('--retention-hours <hours>', 'how long messages are kept (default: as long as the tier allows)', wholeNumber(1, 2160))
    .addOption(
      new Option('--policies <how>', 'split: producer and consumers have a policy each; one: a single process does both')
        .choices(['split', 'one'])
        .default('split'),
    )
    .option('--capture <account/container>', 'Event Hubs Capture, to a container of a storage account in the same resource group')
    .addHelpText('after', '\nExample:\n  sluice render eventhubs --partitions 8 --units 2 --capture acmelake/capture\n')
    .action(async (flags: EventHubsFlags, command: Command) => {
      const config = await loadConfigFor(io, command);
      const { eventHubsFiles } = await import('../../app/render-bus.ts');
      const { units, partitions, policies, retentionHours = null, capture = null } = flags;
      const sku = flags.tier === 'premium' ? 'Premium' : 'Standard';
      const files = await eventHubsFiles(config, { sku, units, partitions, retentionHours, policies, capture });
      const where = { folder: flags.out ?? 'rendered/eventhubs', ours: /^(eventhubs(\.parameters)?\.json|deploy\.sh)$/ };
      await deliver(
        io,
        command,
        files,
        where,
        flags.diff,
        'Read them, then: RESOURCE_GROUP=<group> sh deploy.sh (it shows what would change, and asks).',
      );
    });
}

interface AspFlags extends OutFlags {
  readonly cluster: string;
  readonly workspace: string;
  readonly project?: string;
  readonly validate?: string;
  readonly privateLink?: string;
  readonly region?: string;
}

export function renderAspCommand(render: Command, io: Io): void {
  const command = render
    .command('asp')
    .summary('Atlas Stream Processing as the producer: connections, processor, commands')
    .description(
      'Writes the connections (Event Hubs by its Kafka endpoint, the cluster, the dead letters), one processor from the change stream of `source` to the hub of `bus.url`, and the commands that register and start them. docs/rendered.md.',
    )
    .requiredOption('--cluster <name>', 'Atlas cluster that is read')
    .requiredOption('--workspace <name>', 'stream processing workspace (instance) in Atlas');
  outOptions(command, 'rendered/asp')
    .option('--project <json>', '$project stage, as Extended JSON or @file')
    .option('--validate <json>', 'query that every event must satisfy, as Extended JSON or @file; others become dead letters in Atlas')
    .option('--private-link <id>', 'resource id of the Event Hubs namespace: reach it by private link')
    .option('--region <region>', 'Atlas region of the private link, such as US_EAST_2')
    .addHelpText('after', '\nExample:\n  sluice render asp --cluster Shop --workspace streams --project \'{ "fullDocument.card": 0 }\'\n')
    .action(async (flags: AspFlags, command: Command) => {
      if ((flags.privateLink === undefined) !== (flags.region === undefined))
        throw new SluiceError(USAGE, '--private-link and --region go together', { next: 'Give both, or none for the public endpoint.' });
      const config = await loadConfigFor(io, command);
      const { aspFiles } = await import('../../app/render-bus.ts');
      const { cluster, workspace } = flags;
      const privateLink =
        flags.privateLink === undefined || flags.region === undefined ? null : { namespaceId: flags.privateLink, region: flags.region };
      const project = await documentOf(io, '--project', flags.project);
      const validate = await documentOf(io, '--validate', flags.validate);
      const files = await aspFiles(config, { cluster, workspace, project, validate, privateLink });
      const where = { folder: flags.out ?? 'rendered/asp', ours: /^((private-link|connection-[a-z-]+|processor)\.json|register\.sh)$/ };
      await deliver(
        io,
        command,
        files,
        where,
        flags.diff,
        'Read them, then: ATLAS_PROJECT_ID=<id> EVENTHUBS_CONNECTION=<connection string> sh register.sh',
      );
    });
}

/** @throws USAGE */
async function documentOf(io: Io, flag: string, text: string | undefined): Promise<Record<string, unknown> | null> {
  if (text === undefined) return null;
  try {
    const value: unknown = JSON.parse(text.startsWith('@') ? await readFile(resolve(io.cwd, text.slice(1)), 'utf8') : text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new SluiceError(USAGE, `${flag}: ${reasonOf(error)}`, { cause: error, next: `Give a JSON document, or @file: ${flag} '{ "a": 1 }'.` });
  }
  throw new SluiceError(USAGE, `${flag} is not a document`, { next: `Give a JSON document: ${flag} '{ "a": 1 }'.` });
}
