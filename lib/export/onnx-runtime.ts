// Runs ONNX models with whichever ONNX Runtime is installed: neither is a dependency, an export alone needs one.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type * as Ort from 'onnxruntime-web';
import { EnvironmentError } from '../errors.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import type { Preprocess } from '../weights/preprocess.js';
import { joined, scaled } from './feeds.js';
import { resizeModel, type Takes } from './onnx-images.js';
import type { Runner } from './parity.js';
import { givenBy } from './reference.js';
import type { Sample } from './samples.js';

/** The native one first: it is the faster. */
const PACKAGES = ['onnxruntime-node', 'onnxruntime-web'] as const;

export interface OnnxRuntime {
  ort: typeof Ort;
  /** 'onnxruntime-web 1.30.0' */
  name: string;
}

/**
 * The ONNX Runtime that is installed.
 * @throws EnvironmentError when none is
 */
export async function loadOnnxRuntime(packages: readonly string[] = PACKAGES): Promise<OnnxRuntime> {
  const broken: string[] = [];
  for (const name of packages) {
    try {
      const loaded = (await import(name)) as typeof Ort & { default?: typeof Ort };
      const ort = loaded.InferenceSession ? loaded : loaded.default!;
      // One thread: sums in one order, and no workers that outlive the work.
      if (ort.env.wasm) ort.env.wasm.numThreads = 1;
      return { ort, name: `${name} ${versionOf(name)}`.trim() };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) broken.push(`; ${name}: ${message}`);
    }
  }
  throw new EnvironmentError(
    'an export is tried beside its checkpoint before it is written, which takes ONNX Runtime: ' +
      `npm install onnxruntime-node (or onnxruntime-web)${broken.join('')}`,
  );
}

/** Of the package that was imported; '' where it does not tell. */
function versionOf(name: string): string {
  try {
    for (let at = path.dirname(createRequire(import.meta.url).resolve(name)); ; at = path.dirname(at)) {
      const found = JSON.parse(readIfThere(path.join(at, 'package.json'))) as { name?: string; version?: string };
      if (found.name === name) return found.version ?? '';
      if (at === path.dirname(at)) return '';
    }
  } catch {
    return '';
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '{}';
  }
}

/** An exported model, ready to answer pictures. */
export async function onnxRunner(
  { ort, name }: OnnxRuntime,
  model: Uint8Array,
  checkpoint: CompleteCheckpoint,
  takes: Takes,
): Promise<Runner> {
  const open = (bytes: Uint8Array): Promise<Ort.InferenceSession> =>
    ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const { preprocess } = checkpoint;
  const session = await open(model);
  const resizing = takes === 'pictures' ? await open(resizeModel(preprocess.size)) : undefined;
  const [input, output] = [session.inputNames[0]!, session.outputNames[0]!];
  return {
    runtime: name,
    batch: takes === 'pictures' ? 1 : 8,
    whole: takes === 'pictures',
    compared: givenBy(checkpoint, takes === 'raw'),
    async run(pictures) {
      const feed = feedOf(ort, pictures, takes, preprocess);
      const answers = Float32Array.from((await session.run({ [input]: feed }))[output]!.data as Float32Array);
      if (!resizing) return { answers };
      const { resized } = await resizing.run({ images: feed });
      return { answers, resized: [Uint8Array.from(resized!.data as Uint8Array)] };
    },
    async dispose() {
      await session.release();
      await resizing?.release();
    },
  };
}

function feedOf(ort: typeof Ort, pictures: readonly Sample[], takes: Takes, preprocess: Preprocess): Ort.Tensor {
  const { size } = preprocess;
  if (takes === 'pictures') {
    const { pixels, height, width } = pictures[0]!.whole!;
    return new ort.Tensor('uint8', pixels, [1, height, width, 3]);
  }
  const bytes = joined(pictures);
  if (takes === 'images') return new ort.Tensor('uint8', bytes, [pictures.length, size, size, 3]);
  return new ort.Tensor('float32', scaled(bytes, pictures.length, preprocess), [pictures.length, 3, size, size]);
}
