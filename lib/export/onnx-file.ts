// An ONNX file on disk: made, tried, and only then put in its place.
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import type { OnnxOptions } from './onnx.js';
import { demandFor, type Parity } from './parity.js';
import { reducedRange } from './reduced-range.js';
import { writeTried, type ExportOptions } from './tried.js';

export type { OnnxOptions } from './onnx.js';

/**
 * Writes a checkpoint as an ONNX model (operator set 18) once ONNX Runtime has given the same answers with it, and what
 * was compared beside it, as `<file>.parity.json`. Needs the package onnxruntime-node or onnxruntime-web.
 *
 * By default the file takes `images`, uint8 [N, size, size, 3] RGB, and gives `probabilities`, float32 [N, classes]. N is
 * free. The classes, in their order, are in its metadata. An int8 checkpoint becomes QuantizeLinear and DequantizeLinear
 * around its layers, with the very whole numbers of its file.
 * @param file where; what is there is replaced, once the new one agrees
 * @throws ParityError when probabilities differ by more than 1e-4 or any first class does (fp32), or by more than 0.1 or more
 * than one first class in a hundred (fp16), by more than 0.1 or two first classes in a hundred (int8): nothing is written; EnvironmentError when no ONNX Runtime is installed
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
  const written = options.reduceRange ? reducedRange(checkpoint) : checkpoint;
  return writeTried(written, file, options, async () => {
    const bytes = toOnnx(written, options);
    const runner = await onnxRunner(runtime, bytes, written, takes);
    return { bytes, runner, demand: demandFor(written, options.dtype) };
  });
}
