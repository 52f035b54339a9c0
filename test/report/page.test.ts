/// <reference lib="dom" />
// The report as a browser shows it: a page of a real training, opened from disk, with names that would rather be markup.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { createModel, htmlReport, ImageFolder, Trainer } from 'mnv2-torch';
import { requireBrowser } from '../support/browser.ts';
import { imageFolder } from '../support/image-folder.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('page');
/** What a folder may be called; '/' cannot be in a name, so tags close with what may. */
const HOSTILE = '<img src=x onerror=alert(1)>';
const CLASSES = ['agricultural', 'baseball "diamond" & co', HOSTILE, '<script>alert(2)<!--', "it's", 'river'];
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let report: string;
let text: string;

beforeAll(async () => {
  const root = await imageFolder(at('images'), { classes: CLASSES, perClass: 8 });
  fs.renameSync(`${root}/river/0.png`, `${root}/river/${HOSTILE}.png`);
  const data = await ImageFolder.open(root, { size: 64, cache: 'off', valSplit: 0.5 });
  const model = createModel('mobilenet_v2', { numClasses: CLASSES.length, widthMult: 0.25 });
  const hooks = [htmlReport()];
  (await new Trainer(model, data, { epochs: 3, batchSize: 8, out: at('run'), hooks, seed: 5 }).fit()).dispose();
  data.dispose();
  report = at('run', 'report.html');
  text = fs.readFileSync(report, 'utf8');
});

test('nothing in it could be loaded from anywhere, and no name became markup', () => {
  for (const [, url] of text.matchAll(/(?:src|href)="([^"]*)"/g)) expect(url).toMatch(/^(data:|#)/);
  expect(text).not.toMatch(/@import|url\(|https?:/);
  expect(text).not.toContain('<img src=x');
  expect(text).not.toContain('<script>alert');
  expect(text).toContain('&lt;img src=x onerror=alert(1)&gt;');
  expect([...text.matchAll(/<\/script>/g)]).toHaveLength(2); // the data and the script, each closed once
});

requireBrowser('in a browser', (browser: () => Browser) => {
  /** Opens the report offline and hands on everything a page may complain of. */
  async function opened(
    options: Parameters<Browser['newContext']>[0],
    look: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser().newContext({ offline: true, ...options });
    const complaints: string[] = [];
    const requests: string[] = [];
    try {
      const page = await context.newPage();
      page.on('console', (m) => complaints.push(m.text()));
      page.on('pageerror', (e) => complaints.push(String(e)));
      page.on('dialog', (d) => {
        complaints.push(`dialog ${d.message()}`);
        void d.dismiss();
      });
      page.on('request', (r) => requests.push(r.url().slice(0, 40)));
      await page.goto(`file://${report}`);
      await look(page);
      expect(complaints).toEqual([]);
      expect(requests.filter((url) => !url.startsWith('data:'))).toEqual([`file://${report}`.slice(0, 40)]);
    } finally {
      await context.close();
    }
  }
  const cells = 'table.confusion tbody td';

  test('a click on a cell shows its images, with their names as they are', () =>
    opened({ viewport: { width: 1280, height: 900 } }, async (page) => {
      expect(await page.locator('table.confusion thead th').allInnerTexts()).toEqual(CLASSES.toSorted());
      const buttons = page.locator(`${cells} button`);
      for (let i = 0; i < (await buttons.count()); i++) {
        const button = buttons.nth(i);
        await button.click();
        const images = Number(await button.innerText());
        const right = (await button.locator('..').getAttribute('class')) === 'right';
        const shown = page.locator('#behind img');
        expect(await shown.count()).toBe(Math.min(images, right ? 4 : 12));
        const [said] = await page.locator('#behind h3').allInnerTexts();
        expect(
          (await button.getAttribute('aria-label'))!.startsWith(right ? said!.replace(', right', '') : said!),
        ).toBe(true);
        expect(await button.getAttribute('aria-pressed')).toBe('true');
        // Decoded, not only there.
        expect(await shown.evaluateAll((all) => all.every((x) => (x as HTMLImageElement).naturalWidth > 0))).toBe(true);
      }
      const counts = await buttons.allInnerTexts();
      expect(counts.reduce((a, n) => a + Number(n), 0)).toBe(24);
    }));

  test('by keyboard: one stop, arrows between the numbers, Enter shows', () =>
    opened({ viewport: { width: 1280, height: 900 } }, async (page) => {
      expect(await page.locator(`${cells} button[tabindex="0"]`).count()).toBe(1);
      for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Tab');
        if (await page.evaluate(() => document.activeElement?.matches('[data-cell]'))) break;
      }
      const focused = (): Promise<string | null> =>
        page.evaluate(() => document.activeElement!.getAttribute('data-cell'));
      await page.keyboard.press('Home');
      const first = await focused();
      expect(first).toBe(await page.locator(`${cells} button`).first().getAttribute('data-cell'));
      await page.keyboard.press('End');
      const last = await focused();
      expect(last).not.toBe(first);
      await page.keyboard.press('ArrowUp');
      expect(await focused()).not.toBe(last);
      await page.keyboard.press('Enter');
      const chosen = page.locator(`${cells} button[aria-pressed="true"]`);
      expect(await chosen.getAttribute('data-cell')).toBe(await focused());
    }));

  test('at 360 pixels nothing is wider than the screen; what is scrolls in a place of its own', () =>
    opened({ viewport: { width: 360, height: 700 } }, async (page) => {
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
      expect(
        await page
          .locator('.findings, .figures, .chart svg')
          .evaluateAll((all) => all.every((e) => e.getBoundingClientRect().right <= 360)),
      ).toBe(true);
    }));

  test.each(['light', 'dark'] as const)(
    '%s: no rule of WCAG 2.2 AA that a program can check is broken',
    (colorScheme) =>
      opened({ viewport: { width: 1280, height: 900 }, colorScheme, bypassCSP: true }, async (page) => {
        const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const light = Number(/\d+/.exec(paper)![0]);
        expect(colorScheme === 'dark' ? light < 60 : light > 200).toBe(true);
        await page.evaluate(axe);
        const violations = await page.evaluate(async () => {
          const { axe } = window as unknown as {
            axe: { run(o: object): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
          };
          const found = await axe.run({
            runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
          });
          return found.violations.map(
            (v) =>
              `${v.id}: ${v.nodes
                .map((n) => n.html.slice(0, 160))
                .slice(0, 3)
                .join(' | ')}`,
          );
        });
        expect(violations).toEqual([]);
      }),
  );

  test('without scripts the figures are there', () =>
    opened({ javaScriptEnabled: false }, async (page) => {
      expect(await page.locator('table.classes tbody tr').count()).toBe(CLASSES.length);
      expect(await page.locator('.chart svg').count()).toBe(5);
    }));
});
