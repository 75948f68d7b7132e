/**
 * The dashboard in a real Chromium: on a real pipeline, and on one with 500 collections and 30 days.
 *
 * In each page nothing may be written to its console as an error, and its policy may refuse nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { MongoClient } from 'mongodb';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Control } from '../../src/app/control.ts';
import { readPage } from '../../src/http/page.ts';
import { startHttp, type HttpServer } from '../../src/http/server.ts';
import { makeLog, silentLog } from '../../src/ops/log.ts';
import { mark, PipelineRun } from '../e2e/pipeline-run.ts';
import { until } from '../e2e/until.ts';
import { Workspace } from '../e2e/workspace.ts';
import { jumpAhead, startMongo } from '../mongo.ts';
import { findChromium, startChromium } from './browser.ts';
import { LongHistory, nameOf } from './long-history.ts';

const TOKEN = 'the-token-of-this-test';
const BUNDLE_BYTES_MAX = 60_000;
const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
const DESKTOP: BrowserContextOptions = { viewport: { width: 1380, height: 900 } };

/** How many opaque colours the first rows have. */
const COLOURS = `(() => {
  const canvas = document.querySelector('canvas.strips');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3] === 255) seen.add([pixels[at], pixels[at + 1], pixels[at + 2]].join());
  return seen.size;
})()`;

/** Counts what is drawn from now on. */
const DRAWN = `(() => {
  window.drawn = 0;
  const isCanvas = (node) => node.nodeName === 'CANVAS' || (node.nodeType === 1 && node.querySelector('canvas') !== null);
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === 'attributes' ? target.nodeName === 'CANVAS' : [...addedNodes].some(isCanvas)) window.drawn += 1;
    }
  }).observe(document.querySelector('.scroller'), { subtree: true, childList: true, attributes: true });
})()`;

/** Where the dashboard is built to here: in dist/ another test may be serving the one that is there. */
const built = vi.hoisted((): { folder?: URL } => ({}));
vi.mock(import('../../src/http/page.ts'), async (original) => {
  const page = await original();
  return { ...page, readPage: () => page.readPage(built.folder) };
});

const chromium = findChromium();
if (chromium === null && process.env['CI'] === 'true')
  throw new Error('There is no Chromium on PATH: apt-get install chromium, or set SLUICE_CHROMIUM');

function serve(control: Control, host = '127.0.0.1'): Promise<HttpServer> {
  return startHttp({ host, port: 0, token: TOKEN, control, log: silentLog, scrub: (text) => text });
}

let browser: Browser;

/** A page of its own, and what went wrong in it. */
class Visit implements AsyncDisposable {
  readonly page: Page;
  readonly troubles: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.troubles.push(error.message));
    page.on('console', (message) => {
      // That a server refuses or is gone is told by the browser itself; the page shows it.
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) this.troubles.push(message.text());
    });
  }

  static async begin(url: string, options: BrowserContextOptions = DESKTOP): Promise<Visit> {
    const context = await browser.newContext(options);
    const visit = new Visit(await context.newPage());
    await visit.page.exposeFunction('refusedByPolicy', (what: string) => visit.troubles.push(`policy: ${what}`));
    // Scripts for the page are texts: this side knows no `document`.
    await visit.page.addInitScript({
      content: "document.addEventListener('securitypolicyviolation', (event) => refusedByPolicy(event.violatedDirective + ' ' + event.blockedURI))",
    });
    await visit.page.goto(url);
    return visit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
    expect(this.troubles).toEqual([]);
  }
}

describe.skipIf(chromium === null)('the dashboard', () => {
  let folder: string;
  beforeAll(async () => {
    // What is served is what stands in web/ now.
    folder = await mkdtemp(join(tmpdir(), 'sluice-web-'));
    built.folder = pathToFileURL(`${folder}/`);
    await build({ configFile: new URL('../../web/vite.config.ts', import.meta.url).pathname, build: { outDir: folder } });
    browser = await startChromium(chromium ?? '');
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is small, and its page holds neither scripts nor styles of its own', () => {
    const files = [...readPage()];
    const bytes = files.map(([, file]) => gzipSync(file.bytes).length).reduce((sum, each) => sum + each, 0);
    expect(files.length).toBeGreaterThan(2);
    expect(bytes).toBeLessThan(BUNDLE_BYTES_MAX);
    const html = Buffer.from(readPage().get('/')!.bytes).toString('utf8');
    expect(html).not.toMatch(/<style|style=|<script(?![^>]*src=)|https?:\/\//);
  });

  describe('on a running pipeline', () => {
    it('shows what comes, seals it, pauses and resumes a collection, and proves it all', async () => {
      await using set = await startMongo();
      await using work = await Workspace.make();
      const client = new MongoClient(set.uri);
      try {
        const orders = client.db('shop').collection('orders');
        await jumpAhead(client);
        const config = work.config({ source: { uri: set.uri, include: ['shop.*'] }, warehouse: { url: 'duckdb:./warehouse.duckdb' } });
        const lines: Record<string, unknown>[] = [];
        const log = makeLog({
          level: 'info',
          destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
          pretty: false,
          scrub: (text) => text,
        });
        await using run = await new PipelineRun(config, { role: 'all', log }).running();
        await orders.insertMany(Array.from({ length: 50 }, (_, n) => ({ n })));
        await run.reaches(await mark(client, 'shop', 'orders'));
        await using server = await serve(run.control);
        await using visit = await Visit.begin(server.url);
        const { page } = visit;

        // Live: the next events show without a reload.
        await page.getByText('First hour under way').waitFor();
        await page.locator('.stage', { hasText: 'Lake' }).getByText('1 file', { exact: true }).waitFor();
        await client.db('shop').collection('customers').insertOne({ name: 'Ada' });
        await page.getByRole('button', { name: 'shop.customers' }).waitFor();

        // An action asks first, and for the token once; a wrong one is refused and asked for again.
        await page.getByRole('button', { name: 'Seal now' }).click();
        await page.getByRole('button', { name: 'Cancel' }).click();
        expect(run.stats.partsSealed).toBe(0);
        await page.getByRole('button', { name: 'Seal now' }).click();
        const dialog = page.getByRole('dialog');
        await dialog.getByLabel('Token').fill('another token');
        await dialog.getByRole('button', { name: 'Seal now' }).click();
        await dialog.getByRole('alert').getByText('the token is not right').waitFor();
        expect(run.stats.partsSealed).toBe(0);
        await dialog.getByLabel('Token').fill(TOKEN);
        await dialog.getByRole('button', { name: 'Seal now' }).click();
        await page.getByText(/Seal now: 2 files, 5\d rows\./).waitFor();
        await until('the sealed files are loaded', () => run.stats.filesLoaded === 2);

        // The ledger of a collection, and its loading.
        await page.getByRole('button', { name: 'shop.orders' }).click();
        const drawer = page.getByRole('dialog', { name: 'shop.orders' });
        await drawer.locator('.path').first().waitFor();
        expect(await drawer.locator('.path').allTextContents()).toEqual([expect.stringMatching(/^shop\/orders\/year=.*\.jsonl$/)]);
        await drawer
          .locator('.numbers')
          .getByText(/5\d rows/)
          .waitFor();
        await drawer.getByRole('button', { name: 'Pause loading' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Pause loading' }).click();
        await drawer.getByText('Paused: captured, not loaded').waitFor();
        expect((await run.control.collections(new AbortController().signal)).collections).toContainEqual(
          expect.objectContaining({ namespace: 'shop.orders', status: 'PAUSED' }),
        );
        await drawer.getByRole('button', { name: 'Resume loading' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Resume loading' }).click();
        await drawer.getByText('Fine').waitFor();

        // Read whole, beside the stream; and dumped.
        await drawer.getByRole('button', { name: 'Snapshot now' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Snapshot now' }).click();
        await page.getByText('Snapshot now shop.orders: begun of 1 collection.').waitFor();
        await until('the snapshot is read', () => run.stats.snapshotRows >= 50 && run.stats.snapshotsOpen === 0);
        await drawer.getByRole('button', { name: 'Dump now' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Dump now' }).click();
        await page.getByText(/Dump now shop\.orders: 1 dump written, 5\d rows\./).waitFor();
        await page.keyboard.press('Escape');

        // What is needed less is in a menu, which the keyboard opens and leaves.
        const more = page.locator('summary', { hasText: 'More' });
        await more.focus();
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'Snapshot all' }).waitFor();
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: 'Snapshot all' }).waitFor({ state: 'hidden' });
        await page.keyboard.press('Enter');
        await page.getByRole('button', { name: 'Dump all' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Dump all' }).click();
        // A dump is of the hour on the wall: if that has ended since, there is one more of the first collection.
        await page.getByText(/Dump all: (1 dump written, 1 row; 1 was there already|2 dumps written, 5\d rows)\./).waitFor();
        await more.click();
        await page.getByRole('button', { name: 'Pause all loading' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Pause all loading' }).click();
        await page.getByText('Pause all loading: 2 collections.').waitFor();
        await more.click();
        await page.getByRole('button', { name: 'Resume all loading' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Resume all loading' }).click();
        await page.getByText('Resume all loading: 2 collections.').waitFor();

        await page.getByRole('button', { name: 'Verify now' }).click();
        await page.locator('dialog.ask').getByRole('button', { name: 'Verify now' }).click();
        await page.locator('.tile', { hasText: 'Proven' }).getByText('Everything agrees').waitFor();
        await page.getByText('✓ lake').waitFor();
        await page.getByText('✓ warehouse').waitFor();

        // The log has a line for each decision, and those of a collection name it.
        await run.stop();
        const said = (message: string): string[] => lines.filter(({ msg }) => msg === message).map(({ collection }) => String(collection));
        const sorted = (names: readonly string[]): string[] => names.toSorted((a, b) => a.localeCompare(b));
        expect(said('owner of the pipeline')).toHaveLength(1);
        expect(said('reading changes')).toHaveLength(1);
        expect(said('asked to seal what is open')).toHaveLength(1);
        expect(said('sealed')).toEqual(['shop.customers', 'shop.orders']);
        expect(new Set(said('merged'))).toEqual(new Set(['shop.customers', 'shop.orders']));
        expect(sorted(said('loading is paused'))).toEqual(['shop.customers', 'shop.orders', 'shop.orders']);
        expect(sorted(said('loading goes on'))).toEqual(['shop.customers', 'shop.orders', 'shop.orders']);
        expect(new Set(said('dumped'))).toEqual(new Set(['shop.customers', 'shop.orders']));
        expect(said('verified: everything agrees')).toHaveLength(1);
        expect(said('stopped in good order')).toHaveLength(1);
        expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
      } finally {
        await client.close();
      }
    });
  });

  describe('on 500 collections and 30 days', () => {
    let history: LongHistory;
    let server: HttpServer;
    beforeAll(async () => {
      history = await LongHistory.make({ collections: 500, hours: 720, warehouse: true, troubles: true });
      server = await serve(history.control);
    });
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      await history[Symbol.asyncDispose]();
    });

    it('keeps few rows in the page, and reaches the last collection', async () => {
      await using visit = await Visit.begin(server.url);
      const { page } = visit;
      await page.getByText('500 collections').first().waitFor();
      expect(await page.locator('.row').count()).toBeLessThan(100);
      await page.evaluate("document.querySelector('.scroller').scrollTop = 1e9");
      const last =
        Array.from({ length: 500 }, (_, n) => nameOf(n))
          .sort()
          .at(-1) ?? '';
      await page.getByRole('button', { name: last }).waitFor();
      expect(await page.locator('.row').count()).toBeLessThan(100);
    });

    it('draws nothing again for what does not change: the next second, a little scrolling, another hour that is pointed at', async () => {
      await using short = await LongHistory.make({ collections: 80, hours: 30, warehouse: true, troubles: true });
      await using shortServer = await serve(short.control);
      await using visit = await Visit.begin(shortServer.url);
      const { page } = visit;
      await page.getByText('80 collections').first().waitFor();
      await page.getByText('Reading the ledger').waitFor({ state: 'hidden' });
      await page.evaluate(DRAWN);
      // A redrawn canvas is given its size again.
      const drawn = (): Promise<number> => page.evaluate<number>('window.drawn');
      const second = page.locator('.chart', { hasText: 'Lag' }).locator('b');
      const before = await second.textContent();
      await until('a second has passed on the page', async () => (await second.textContent()) !== before);
      await page.evaluate("document.querySelector('.scroller').scrollTop = 5");
      for (const y of [12, 38, 64])
        await page
          .locator('.strips')
          .first()
          .hover({ position: { x: 40 + y, y } });
      await page.locator('.readout').getByText(nameOf(8)).waitFor();
      expect(await drawn()).toBe(0);
      await page.evaluate("document.querySelector('.scroller').scrollTop = 1200");
      await until('other rows come', async () => (await drawn()) > 0);
    });

    it('puts what is wrong first, and finds by name', async () => {
      await using visit = await Visit.begin(server.url);
      const { page } = visit;
      await page.getByText('1 collection in error').waitFor();
      const names = (): Promise<string[]> => page.locator('.row .text').allTextContents();
      expect((await names()).slice(0, 3)).toEqual([nameOf(4), nameOf(5), nameOf(8)]);
      await page.getByLabel(/needs attention/).check();
      await until('three are left', async () => (await names()).length === 3);
      await page.getByLabel(/needs attention/).uncheck();
      await page.getByRole('searchbox').fill('tenant_049.cart');
      await until('one is left', async () => (await names()).join() === 'tenant_049.carts');
    });

    it('is worked by keyboard', async () => {
      await using visit = await Visit.begin(server.url);
      const { page } = visit;
      const grid = page.getByRole('grid');
      await grid.focus();
      const readout = page.locator('.readout');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('ArrowLeft');
      await readout.getByText(nameOf(5)).waitFor();
      await readout.getByText(': sealed').or(readout.getByText('sealed')).waitFor();
      await page.keyboard.press('Enter');
      const drawer = page.getByRole('dialog', { name: nameOf(5) });
      await drawer.getByText('not loaded', { exact: true }).waitFor();
      expect(await drawer.locator('.path').count()).toBe(1);
      await page.keyboard.press('Escape');
      await until('the drawer is gone', async () => (await page.getByRole('dialog').count()) === 0);
      for (let n = 0; n < 60; n += 1) await page.keyboard.press('PageDown');
      await readout.getByText(/tenant_049/).waitFor();
    });

    it.each([
      ['phone', 'light', PHONE],
      ['phone', 'dark', PHONE],
      ['desktop', 'light', DESKTOP],
      ['desktop', 'dark', DESKTOP],
    ] as const)('fits a %s, %s', async (_, colorScheme, device) => {
      await using visit = await Visit.begin(server.url, { ...device, colorScheme });
      const { page } = visit;
      await page.getByText('500 collections').first().waitFor();
      await page.getByRole('button', { name: '30 days' }).click();
      expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
      // Something is drawn: the strips are not of one colour.
      const colours = await page.evaluate(COLOURS);
      expect(colours).toBeGreaterThanOrEqual(3);
      await page.locator('.row .name').nth(1).click();
      await page.getByRole('dialog').locator('.path').first().waitFor();
    });
  });

  describe('when all is not well', () => {
    it('says what will make the first row when there is nothing yet', async () => {
      await using history = await LongHistory.make({ collections: 0, hours: 0, warehouse: false, troubles: false });
      await using server = await serve(history.control);
      await using visit = await Visit.begin(server.url);
      await visit.page.getByText('No collection yet. The first change in shop, tenant_* makes the first row.').waitFor();
      // Without a warehouse nothing is said of one.
      expect(await visit.page.getByText('Warehouse').count()).toBe(0);
      expect(await visit.page.getByText('Loads', { exact: true }).count()).toBe(0);
    });

    it('says that what it shows is old when the process is gone, and goes on when it is back', async () => {
      await using history = await LongHistory.make({ collections: 3, hours: 5, warehouse: false, troubles: false });
      const server = await serve(history.control);
      await using visit = await Visit.begin(server.url);
      await visit.page.getByText('3 collections').first().waitFor();
      await server[Symbol.asyncDispose]();
      // Nobody waits for it here: the page's clock goes on by itself from six seconds later.
      await visit.page.clock.install();
      await visit.page.clock.fastForward(6_000);
      await visit.page
        .getByRole('alert')
        .getByText(/What you see is as it was/)
        .waitFor();
      expect(await visit.page.getByRole('button', { name: 'Verify now' }).isDisabled()).toBe(true);
      await using again = await startHttp({
        host: '127.0.0.1',
        port: server.port,
        token: TOKEN,
        control: history.control,
        log: silentLog,
        scrub: (text) => text,
      });
      expect(again.port).toBe(server.port);
      await until('the warning is gone', async () => (await visit.page.getByRole('alert').count()) === 0);
    });

    it('shows messages that could not be read, and why they could not be sent again', async () => {
      await using history = await LongHistory.make({ collections: 3, hours: 5, warehouse: false, troubles: false, letters: 7 });
      await using server = await serve(history.control);
      await using visit = await Visit.begin(server.url);
      const { page } = visit;
      await page.locator('.tile', { hasText: 'Complete' }).getByText('7 messages could not be read').waitFor();
      await page.getByRole('button', { name: 'Look at them' }).click();
      const drawer = page.getByRole('dialog', { name: 'Dead letters' });
      await until('all are listed', async () => (await drawer.locator('.letter').count()) === 7);
      // Why, to everybody; what is in it, to those with the token.
      await drawer.getByText('the value is not JSON').first().waitFor();
      const newest = drawer.getByRole('button', { name: 'partition 0, offset 1000' });
      await newest.click();
      await drawer.getByLabel('Token').fill('another');
      await drawer.getByRole('button', { name: 'Show' }).click();
      await drawer.getByRole('alert').getByText('the token is not right').waitFor();
      await drawer.getByLabel('Token').fill(TOKEN);
      await drawer.getByRole('button', { name: 'Show' }).click();
      // As text, whatever is in it.
      expect(await drawer.getByLabel('Value').textContent()).toContain('"customer": "Ada & <b>Grace</b>"');
      await drawer.getByText('customer-0').waitFor();
      await newest.click();
      await drawer.getByRole('button', { name: 'partition 1, offset 1001' }).click();
      await drawer.getByText('1f 8b 08 00 01 ff').waitFor();

      // Nobody listens at the broker's address: that is said with its code and what to do, and nothing is gone.
      await drawer.getByRole('button', { name: 'Send again', exact: true }).click();
      const ask = page.locator('dialog.ask');
      await ask.getByRole('button', { name: 'Send again' }).click();
      await ask.getByRole('alert').getByText('SLC-1601').waitFor();
      expect(await ask.locator('.remedy').textContent()).toContain('bus');
      await ask.getByRole('button', { name: 'Cancel' }).click();
      expect(await drawer.locator('.letter').count()).toBe(7);
      await page.keyboard.press('Escape');
      await until('the drawer is gone', async () => (await page.getByRole('dialog').count()) === 0);
    });

    it('asks for the token before it shows anything on an address that others reach', async () => {
      await using history = await LongHistory.make({ collections: 3, hours: 5, warehouse: false, troubles: false });
      await using server = await serve(history.control, '0.0.0.0');
      await using visit = await Visit.begin(server.url);
      const { page } = visit;
      await page.getByText('This address needs the token').waitFor();
      expect(await page.getByText(nameOf(0)).count()).toBe(0);
      await page.getByLabel('Token').fill(TOKEN);
      await page.getByRole('button', { name: 'Open' }).click();
      await page.getByText('3 collections').first().waitFor();
      // Kept for the tab.
      await page.reload();
      await page.getByText('3 collections').first().waitFor();
      await using handed = await Visit.begin(`${server.url}/#token=${TOKEN}`);
      await handed.page.getByText('3 collections').first().waitFor();
      expect(handed.page.url()).toBe(`${server.url}/`);
    });
  });
});
