/**
 * The dashboard on 500 collections and 30 days: first paint, scrolling, what it costs the process that serves it.
 *
 * Needs a Chromium on PATH (or SLUICE_CHROMIUM). Frames: of a scroll through all collections, as the page itself sees them, while the pipeline
 * seals something each half second. The plain page, scrolled in the same way, has the names alone, as text: what it takes is the renderer's,
 * which draws without a GPU here.
 */
import { gzipSync } from 'node:zlib';
import { readPage } from '../src/http/page.ts';
import { startHttp } from '../src/http/server.ts';
import { silentLog } from '../src/ops/log.ts';
import { findChromium, startChromium } from '../test/web/browser.ts';
import { LongHistory, nameOf } from '../test/web/long-history.ts';
import { percentile, report } from './report.ts';

const VISITS = 7;
const OPEN_MS = 10_000;
const SEALS_MS = 500;

const path = findChromium();
if (path === null) throw new Error('there is no Chromium on PATH');
const files = [...readPage()].map(([, file]) => gzipSync(file.bytes).length);
if (files.length === 0) throw new Error('the dashboard is not built: npm run build');

/** Scrolls to the end in steps of a frame. @returns ms between frames, and ms of tasks that took 50 or more */
const SCROLL = `new Promise((resolve) => {
  const grid = document.querySelector('.scroller');
  const frames = [];
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ entryTypes: ['longtask'] });
  let last = performance.now();
  const step = (now) => {
    frames.push(now - last);
    last = now;
    const before = grid.scrollTop;
    grid.scrollTop += 60;
    if (grid.scrollTop !== before) requestAnimationFrame(step);
    else setTimeout(() => resolve({ frames: frames.slice(1), tasks }), 100);
  };
  requestAnimationFrame(step);
})`;
interface Scrolled {
  readonly frames: readonly number[];
  readonly tasks: readonly number[];
}

const PLAIN = `<!doctype html><meta charset="utf-8"><style>
  .scroller { height: 558px; overflow-y: scroll; font: 14px system-ui }
  .scroller div { height: 26px }
</style><div class="scroller">${Array.from({ length: 500 }, (_, n) => `<div>${nameOf(n)}</div>`).join('')}</div>`;

await using history = await LongHistory.make({ collections: 500, hours: 720, warehouse: true, troubles: true });
await using server = await startHttp({ host: '127.0.0.1', port: 0, token: 'bench', control: history.control, log: silentLog, scrub: (text) => text });
const browser = await startChromium(path);
const first: number[] = [];
const paints: number[] = [];
const drawn: number[] = [];
const frames: number[] = [];
const tasks: number[] = [];
const plain: number[] = [];
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
  const sealing = setInterval(() => (history.stats.partsSealed += 1), SEALS_MS);
  const scrolled = await page.evaluate<Scrolled>(SCROLL);
  clearInterval(sealing);
  frames.push(...scrolled.frames);
  tasks.push(...scrolled.tasks);
  const other = await context.newPage();
  await other.setContent(PLAIN);
  plain.push(...(await other.evaluate<Scrolled>(SCROLL)).frames);
  await other.close();
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
    'frame ms, worst': Math.max(...frames),
    'tasks of 50 ms or more': tasks.length,
    'plain page: frame ms, p50': percentile(sorted(plain), 0.5),
    'plain page: frame ms, p99': percentile(sorted(plain), 0.99),
    'plain page: frame ms, worst': Math.max(...plain),
    'cores of the server, one page open': (used.user + used.system) / 1000 / OPEN_MS,
  },
]);
