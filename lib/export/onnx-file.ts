// An ONNX file on disk: made, tried, and only then put in its place.
import { createHash } from 'node:crypto';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { writeWhole } from '../weights/formats/whole-file.js';
import type { OnnxOptions } from './onnx.js';
import { compare, demandParity, DEMANDS, type Parity } from './parity.js';
import { samplesFor } from './samples.js';

export type { OnnxOptions } from './onnx.js';

/** What every export takes. */
export interface ExportOptions {
  /** image files, or folders of them, that export and checkpoint are compared on (default: what the run held back, else noise) */
  images?: readonly string[];
}

/**
 * Writes a checkpoint as an ONNX model (operator set 18) once ONNX Runtime has given the same answers with it, and what
 * was compared beside it, as `<file>.parity.json`. Needs the package onnxruntime-node or onnxruntime-web.
 *
 * By default the file takes `images`, uint8 [N, size, size, 3] RGB, and gives `probabilities`, float32 [N, classes]. N is
 * free. The classes, in their order, are in its metadata.
 * @param file where; what is there is replaced, once the new one agrees
 * @throws ParityError when the answers differ by more than 1e-4 (fp32), or in the first class for more than one image in a
 * hundred (fp16): nothing is written; EnvironmentError when no ONNX Runtime is installed
 * @example
 * import { completeCheckpoint, exportOnnx, Flatten, Linear, loadCheckpoint, Sequential, writeSafetensors } from 'mnv2-torch';
 * import { mkdtempSync } from 'node:fs';
 * const at = mkdtempSync('/tmp/mnv2-');
 * const model = new Sequential(new Flatten(), new Linear(12, 2));
 * const tensors = new Map([...model.state(0)].map((t) => [t.name, t]));
 * await writeSafetensors(`${at}/x.safetensors`, tensors, { classes: '["a","b"]', preprocess: '{"size":2,"scale":"x/127.5-1"}' });
 * const checkpoint = completeCheckpoint(await loadCheckpoint(`${at}/x.safetensors`), { model });
 * const { agrees, compared, images } = await exportOnnx(checkpoint, `${at}/x.onnx`);
 * console.log(agrees, compared, images.from); // true probabilities noise
 */
export async function exportOnnx(
  checkpoint: CompleteCheckpoint,
  file: string,
  options: OnnxOptions & ExportOptions = {},
): Promise<Parity> {
  // With all that writes ONNX: a program that exports nothing does not wait for it.
  const { takesOf, toOnnx } = await import('./onnx.js');
  const { loadOnnxRuntime, onnxRunner } = await import('./onnx-runtime.js');
  const takes = takesOf(options);
  const runtime = await loadOnnxRuntime();
  const samples = await samplesFor(checkpoint.file, options.images);
  const bytes = toOnnx(checkpoint, options);
  const runner = await onnxRunner(runtime, bytes, checkpoint, takes);
  try {
    const parity = await compare(checkpoint, runner, samples, DEMANDS[options.dtype ?? 'fp32']);
    demandParity(parity);
    await putInPlace(file, bytes, parity);
    return parity;
  } finally {
    await runner.dispose();
  }
}

/** Writes an export that agrees, and what was compared. */
export async function putInPlace(file: string, bytes: Uint8Array, parity: Parity): Promise<void> {
  await writeWhole(file, [bytes]);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await writeWhole(`${file}.parity.json`, `${JSON.stringify({ sha256, ...parity }, null, 2)}\n`);
}
