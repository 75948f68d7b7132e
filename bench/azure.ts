/**
 * How fast a part of the lake grows in append blobs, against a bare loop of the SDK that appends the same blocks.
 *
 *     npx node bench/azure.ts [blocks per round]
 *
 * Both write 4 MiB blocks one after another to an Azurite in memory on this machine, in turns, so that the ratio does not
 * depend on the machine. What the lake adds: position, lease and etag with every block, and the count of requests.
 */
import { AppendBlobClient, ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { openAzureLake } from '../src/lake/azure/open.ts';
import { AZURITE_ACCOUNT, AZURITE_KEY, startAzurite } from '../test/azurite.ts';
import { report } from './report.ts';

const ROUNDS = 6;
const BLOCK_BYTES = 4 * 2 ** 20;
const RATIO_MIN = 0.8;
const blocks = Number(process.argv[2] ?? 8);
const never = new AbortController().signal;

const line = `{"_meta":{},"documentKey":{"_id":1},"fullDocument":{"text":"${'x'.repeat(1100)}"}}\n`;
const block = Buffer.from(line.repeat(Math.floor(BLOCK_BYTES / line.length)));

await using azurite = await startAzurite();
const credential = new StorageSharedKeyCredential(AZURITE_ACCOUNT, AZURITE_KEY);
const url = `${azurite.url}/bench`;
await new ContainerClient(url, credential).create();
const lake = await openAzureLake({
  url: `${url}/lake`,
  writer: 'append-blob',
  auth: { kind: 'accountKey', account: AZURITE_ACCOUNT, key: AZURITE_KEY },
});

async function withSdk(round: number): Promise<number> {
  const blob = new AppendBlobClient(`${url}/bare-${round}`, credential);
  await blob.create();
  return await secondsOf(() => blob.appendBlock(block, block.length));
}

async function withLake(round: number): Promise<number> {
  const part = await lake.open(`part-${round}.jsonl`, { epoch: 1, expect: 'absent' }, never);
  const seconds = await secondsOf(() => part.append([block], never));
  await part.close();
  return seconds;
}

async function secondsOf(append: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  for (let n = 0; n < blocks; n += 1) await append();
  return (performance.now() - begun) / 1000;
}

const totals = { sdk: 0, lake: 0 };
for (let round = 0; round <= ROUNDS; round += 1) {
  const isLakeFirst = round % 2 === 0;
  const first = isLakeFirst ? await withLake(round) : await withSdk(round);
  const second = isLakeFirst ? await withSdk(round) : await withLake(round);
  // The first round warms everything up.
  if (round === 0) continue;
  totals.lake += isLakeFirst ? first : second;
  totals.sdk += isLakeFirst ? second : first;
}

const ratio = totals.sdk / totals.lake;
const rate = (seconds: number): number => (ROUNDS * blocks * block.length) / 2 ** 20 / seconds;
report('azure', [
  { way: 'bare SDK loop', 'MiB/s': rate(totals.sdk), 'of the loop': 1 },
  { way: 'part of a lake', 'MiB/s': rate(totals.lake), 'of the loop': ratio },
]);
if (ratio < RATIO_MIN) process.exitCode = 1;
