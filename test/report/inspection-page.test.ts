// The page of an inspection, in a real browser: kernels are drawn, dead ones framed and named, nothing is loaded.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { inspect, MobileNetV2, Weights } from 'mnv2-torch';
import { inspectionPage } from '../../dist/report/inspection-page.js';
import { requireBrowser } from '../support/browser.ts';
import { temporaryFolder } from '../support/temporary.ts';

const at = temporaryFolder('inspection-page');
const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const KERNEL = 'features.1.conv.1.0.weight';

beforeAll(async () => {
  const model = MobileNetV2({ numClasses: 2, widthMult: 1, invertedResidualSetting: [[6, 16, 1, 2]] });
  const weights = await Weights.init(model);
  const one = await weights.get([KERNEL]);
  for (const { data } of one.values()) (data as Float32Array).fill(0, 0, 9).fill(-1, 9, 18).fill(1, 18, 27);
  await weights.set([...one].map(([name, tensor]) => ({ name, ...tensor })));
  const found = await inspect({ model, weights, classes: ['a', 'b'], preprocess: { size: 32, scale: 'x/127.5-1' } });
  fs.writeFileSync(at('page.html'), await inspectionPage(found));
});

requireBrowser('in a browser', (browser) => {
  test.each(['light', 'dark'] as const)('%s: accessible, offline, each kernel in its place', async (colorScheme) => {
    const page = await browser().newPage({ colorScheme, viewport: { width: 1200, height: 900 } });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(at('page.html')).href);
    expect(asked.filter((url) => !/^(file|data):/.test(url))).toEqual([]);
    expect(await page.locator('svg.kernels').count()).toBe(1);
    // What is below zero everywhere never opens a ReLU6 behind another one.
    const titles = await page.locator('svg.kernels rect title').allTextContents();
    expect(titles.slice(0, 2)).toEqual(['channel 0: empty', 'channel 1: closed']);
    // Of the picture: clear, then blue, then orange in the middle of the first three kernels.
    const pixels = await page.evaluate(async () => {
      const image = new Image();
      image.src = document.querySelector('svg.kernels image')!.getAttribute('href')!;
      await image.decode();
      const context = Object.assign(document.createElement('canvas'), { width: 256, height: 64 }).getContext('2d')!;
      context.drawImage(image, 0, 0);
      return [2, 6, 10].map((x) => [...context.getImageData(x, 2, 1, 1).data]);
    });
    expect(pixels[0]![3]).toBe(0);
    expect(pixels[1]![2]).toBeGreaterThan(pixels[1]![0]!);
    expect(pixels[2]![0]).toBeGreaterThan(pixels[2]![2]!);
    expect([pixels[1]![3], pixels[2]![3]]).toEqual([255, 255]);
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run(): Promise<{ violations: { id: string }[] }> } };
      return (await axe.run()).violations.map((v) => v.id);
    });
    expect(violations).toEqual([]);
    await page.close();
  });
});
