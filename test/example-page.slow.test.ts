/// <reference lib="dom" />
// The page in examples/browser as its README sets it up: a model exported by the command line, a static server that is
// nothing but that, and a browser. Its answers are those of `predict`.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import {
  Classifier,
  completeCheckpoint,
  loadCheckpoint,
  exportOnnx,
  Flatten,
  Linear,
  Module,
  mul,
  constant,
  type Tensor,
} from 'mnv2-torch';
import { toOnnx } from '../dist/export/onnx.js';
import { requireBrowser } from './support/browser.ts';
import { cli } from './support/cli.ts';
import { exportCheckpoint } from './support/export-checkpoint.ts';
import { imageFolder } from './support/image-folder.ts';
import { localServer, status, type Answer } from './support/local-server.ts';
import { temporaryFolder } from './support/temporary.ts';

const at = temporaryFolder('example-page');
const { resolve } = createRequire(import.meta.url);
const axe = fs.readFileSync(resolve('axe-core/axe.min.js'), 'utf8');
const RUNTIME = ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm'];
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Its answers hang on every pixel, and on where it is. */
class Pixels extends Module {
  readonly flat = new Flatten();
  readonly linear = new Linear(3 * 32 * 32, 7);
  forward(x: Tensor): Tensor {
    // Not as sure of itself as large weights would make it.
    return mul(this.linear.call(this.flat.call(x)), constant([0.25]));
  }
}

requireBrowser('a page that classifies pictures', (browser: () => Browser) => {
  const server = localServer();
  /** the file that is handed out as model.onnx */
  let model = 'pixels.onnx';
  /** Any static server. */
  const files: Answer = (request, response) => {
    const name = request.url === '/' ? 'index.html' : request.url!.slice(1);
    const file = name === 'model.onnx' ? at(model) : at('page', name);
    if (!fs.existsSync(file)) return status(404)(request, response);
    response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
    response.end(fs.readFileSync(file));
  };

  beforeAll(async () => {
    fs.cpSync('examples/browser', at('page'), { recursive: true });
    for (const name of RUNTIME)
      fs.copyFileSync(path.join(path.dirname(resolve('onnxruntime-web')), name), at('page', name));
    const pixels = await exportCheckpoint(at('pixels.safetensors'), { model: new Pixels(), classes: 7 });
    await exportOnnx(pixels, at('pixels.onnx'), { resize: true });
    await imageFolder(at('photos'), { classes: ['cat', 'dog'], perClass: 2, size: 90 });
    const cat = sharp(at('photos/cat/0.png'));
    // A cat on the left, a dog on the right: which way up it is can be told.
    const dog = { input: at('photos/dog/0.png'), left: 45, top: 0 };
    const both = sharp(
      await cat
        .clone()
        .extract({ left: 0, top: 0, width: 45, height: 90 })
        .extend({ right: 90 })
        .composite([dog])
        .png()
        .toBuffer(),
    );
    await cat.clone().resize(32, 32).toFile(at('exact.png'));
    await cat.clone().ensureAlpha(0.5).png().toFile(at('clear.png'));
    await cat.clone().toFile(at('clear.wrong.png'));
    const jpeg = { quality: 95, chromaSubsampling: '4:4:4' };
    await both.clone().withMetadata({ orientation: 6 }).jpeg(jpeg).toFile(at('turned.jpg'));
    await both.clone().jpeg(jpeg).toFile(at('turned.wrong.jpg'));
    fs.writeFileSync(at('text.png'), 'no picture');
  });

  /** Opens the page; whatever it complains of or asks of others fails the test. */
  async function opened(look: (page: Page) => Promise<void>): Promise<void> {
    const context = await browser().newContext({ viewport: { width: 900, height: 800 } });
    const [complaints, requests]: string[][] = [[], []];
    try {
      const page = await context.newPage();
      page.on('console', (m) => complaints!.push(m.text()));
      page.on('pageerror', (e) => complaints!.push(String(e)));
      page.on('request', (r) => requests!.push(r.url()));
      server.script(files);
      await page.goto(`${server.url}/`);
      await look(page);
      expect(complaints).toEqual([]);
      expect(requests!.filter((url) => !/^(blob|data):/.test(url) && !url.startsWith(`${server.url}/`))).toEqual([]);
    } finally {
      await context.close();
    }
  }
  const says = (page: Page, text: string): Promise<void> =>
    page.getByRole('status').filter({ hasText: text }).waitFor();
  type Shown = { label: string; probability: number };
  const answers = (page: Page): Promise<(Shown & { percent: string })[]> =>
    page.locator('#answers li').evaluateAll((items) =>
      items.map((item) => ({
        label: item.children[0]!.textContent!,
        probability: item.querySelector('meter')!.value,
        percent: item.children[2]!.textContent!,
      })),
    );

  test('answers as predict does, whatever size a picture has, which way up it was taken, and what is behind it', () =>
    opened(async (page) => {
      await says(page, 'Ready: 7 classes.');
      using classifier = await Classifier.load(at('pixels.safetensors'), { model: new Pixels() });
      const off = (shown: Shown[], expected: Shown[]): number =>
        Math.max(...shown.map((s) => Math.abs(s.probability - expected.find((e) => e.label === s.label)!.probability)));
      // The resize is within a level of ours, and so are JPEG and transparency, which another library decodes.
      for (const [file, within, wrong] of [
        ['photos/dog/1.png', 5e-3],
        ['exact.png', 1e-5],
        ['clear.png', 5e-3, 'clear.wrong.png'],
        ['turned.jpg', 5e-3, 'turned.wrong.jpg'],
      ] as const) {
        await page.locator('#file').setInputFiles(at(file));
        await says(page, `${path.basename(file)}, in `);
        const shown = await answers(page);
        const expected = await classifier.classify(at(file), { topK: 7 });
        expect(shown.map((s) => s.percent)).toEqual(shown.map((s) => `${(100 * s.probability).toFixed(1)}%`));
        expect(shown).toHaveLength(5);
        expect(off(shown, expected)).toBeLessThan(within);
        // Read the other way the picture is another one.
        if (wrong) expect(off(shown, await classifier.classify(at(wrong), { topK: 7 }))).toBeGreaterThan(4 * within);
        else expect(shown.map((s) => s.label)).toEqual(expected.slice(0, 5).map((e) => e.label));
      }
      const found = await page.evaluate(`${axe}; axe.run()`);
      expect((found as { violations: { id: string }[] }).violations.map((v) => v.id)).toEqual([]);
    }));

  test('takes what is dropped on it; what is no picture is told, and the next one is looked at', async () => {
    await exportCheckpoint(at('best.safetensors'));
    const written = cli(['export', at('best.safetensors'), '--resize', '-o', at('best.onnx')]);
    expect([written.status, written.stderr]).toEqual([0, '']);
    model = 'best.onnx';
    await opened(async (page) => {
      await says(page, 'Ready: 5 classes.');
      const dropped = (file: string): Promise<void> =>
        page.evaluate(
          ([name, base64]) => {
            const bytes = Uint8Array.from(atob(base64!), (c) => c.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name!));
            document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
          },
          [path.basename(file), fs.readFileSync(file).toString('base64')],
        );
      await dropped(at('text.png'));
      await says(page, 'text.png is not a picture that this browser reads');
      expect(await answers(page)).toEqual([]);
      await dropped(at('photos/cat/1.png'));
      await says(page, '1.png, in ');
      expect(await answers(page)).toHaveLength(5);
      expect(await page.locator('#picture').isVisible()).toBe(true);
    });
  });

  test('a model that is missing, or takes one size alone, is told', async () => {
    const checkpoint = completeCheckpoint(await loadCheckpoint(at('pixels.safetensors')), { model: new Pixels() });
    fs.writeFileSync(at('fixed.onnx'), toOnnx(checkpoint));
    model = 'fixed.onnx';
    await opened((page) =>
      says(page, 'model.onnx takes uint8 [N,32,32,3], not pictures of any size: export it with --resize'),
    );
    model = 'none.onnx';
    const context = await browser().newContext();
    const page = await context.newPage();
    await page.goto(`${server.url}/`);
    await says(page, 'model.onnx: the server answered 404; is it beside this page?');
    expect(await page.locator('#file').isDisabled()).toBe(true);
    await context.close();
  });
});
