// A headless Chromium that is installed: MNV2_BROWSER names it, or it is where distributions put it.
import fs from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];
const asked = process.env['MNV2_BROWSER'];
if (asked !== undefined && !fs.existsSync(asked)) throw new Error(`MNV2_BROWSER is ${asked}, which does not exist`);
const executable = asked ?? PLACES.find((place) => fs.existsSync(place));

/** A describe whose tests need a browser; where none is installed they count as skipped and the title says why. */
export function requireBrowser(title: string, body: (browser: () => Browser) => void): void {
  const run = executable === undefined ? describe.skip : describe;
  const why = 'no Chromium is installed (apt-get install chromium, or MNV2_BROWSER)';
  run(executable === undefined ? `${title} (skipped: ${why})` : title, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: executable!, args: ['--no-sandbox'] });
    });
    afterAll(() => browser.close());
    body(() => browser);
  });
}
