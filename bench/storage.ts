/**
 * The tests' storage account in a process of its own, which goes away once it holds so many bytes, and comes back.
 *
 * `refusing`: every request is answered with 503. `silent`: the process stops, as a machine that hangs does: connections are
 * taken by the kernel, requests are never answered. The parent, who is told, lets it go on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startDfsServer } from '../test/fakes/dfs/server.ts';

export type Away = 'refusing' | 'silent';
export type FromStorage = { readonly url: string; readonly account: string; readonly key: string } | 'away';

const LOOK_MS = 5;
const [how, afterBytes, awayMs, container] = process.argv.slice(2) as [Away, string, string, string];
const server = await startDfsServer();
server.account.createContainer(container, 'dfs');

const tell = (what: FromStorage): Promise<void> => new Promise((resolve) => process.send!(what, () => resolve()));
process.on('disconnect', () => process.exit());
await tell({ url: server.url, account: server.account.name, key: server.account.key });

const events = (): number => server.paths(container).reduce((sum, path) => sum + server.node(container, path).bytes.length, 0);
while (events() < Number(afterBytes)) await sleep(LOOK_MS);
await tell('away');
if (how === 'silent') {
  process.kill(process.pid, 'SIGSTOP');
} else {
  server.faults.draw(() => ({ kind: 'status', status: 503, code: 'ServerBusy' }));
  await sleep(Number(awayMs));
  server.faults.clear();
}
