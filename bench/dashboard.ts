/**
 * The dashboard on 500 collections and 30 days: first paint, scrolling, what it costs the process that serves it.
 *
 * Needs a Chromium on PATH (or SLUICE_CHROMIUM). Frames: of a scroll through all collections, as the page itself sees them.
 */
import { gzipSync } from 'node:zlib';
import { readPage } from '../src/http/page.ts';
import { startHttp } from '../src/http/server.ts';
import { silentLog } from '../src/ops/log.ts';
import { findChromium, startChromium } from '../test/web/browser.ts';
import { LongHistory } from '../test/web/long-history.ts';
import { percentile, report } from './report.ts';

const VISITS = 7;
const OPEN_MS = 10_000;

const path = findChromium();
if (path === null) throw new Error('there is no Chromium on PATH');
const files = [...readPage()].map(([, file]) => gzipSync(file.bytes).length);
if (files.length === 0) throw new Error('the dashboard is not built: npm run build');

/** Scrolls to the end in steps of a frame. @returns ms between frames */
const SCROLL = `new Promise((resolve) => {
  const grid = document.querySelector('.scroller');
  const frames = [];
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last);
    last = now;
    const before = grid.scrollTop;
    grid.scrollTop += 60;
    if (grid.scrollTop === before) resolve(frames.slice(1));
    else requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})`;

await using history = await LongHistory.make({ collections: 500, hours: 720, warehouse: true, troubles: true });
await using server = await startHttp({ host: '127.0.0.1', port: 0, token: 'bench', control: history.control, log: silentLog, scrub: (text) => text });
const browser = await startChromium(path);
const first: number[] = [];
const paints: number[] = [];
const drawn: number[] = [];
const frames: number[] = [];
for (let visit = 0; visit < VISITS; visit += 1) {
  const context = await browser.newContext({ viewport: { width: 1380, height: 900 } });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.getByText('500 collections').first().waitFor();
  drawn.push(await page.evaluate<number>('performance.now()'));
  await page.waitForFunction("performance.getEntriesByName('first-contentful-paint').length > 0");
  const paint = await page.evaluate<number>("performance.getEntriesByName('first-contentful-paint')[0].startTime");
  // The first visit makes the process read 30 days of the ledger.
  if (visit === 0) first.push(paint, drawn[0] ?? 0);
  paints.push(paint);
  await page.getByRole('button', { name: '30 days' }).click();
  frames.push(...(await page.evaluate<number[]>(SCROLL)));
  if (visit < VISITS - 1) await context.close();
}
const before = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, OPEN_MS));
const used = process.cpuUsage(before);
await browser.close();
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
report('dashboard', [
  {
    'bundle, kB gzip': files.reduce((sum, each) => sum + each, 0) / 1000,
    'first paint ms, first visit': first[0] ?? 0,
    'all drawn ms, first visit': first[1] ?? 0,
    'first paint ms, p50': percentile(sorted(paints), 0.5),
    'all drawn ms, p50': percentile(sorted(drawn), 0.5),
    'frame ms, p50': percentile(sorted(frames), 0.5),
    'frame ms, p99': percentile(sorted(frames), 0.99),
    'frames over 50 ms': frames.filter((ms) => ms > 50).length / frames.length,
    'cores of the server, one page open': (used.user + used.system) / 1000 / OPEN_MS,
  },
]);
