// Checkpoints whose numbers are like a trained network's, to be exported: signals neither die nor grow on the way.
import {
  completeCheckpoint,
  createModel,
  input,
  loadCheckpoint,
  writeSafetensors,
  type Arch,
  type CompleteCheckpoint,
  type ModelOptions,
  type Module,
} from 'mnv2-torch';
import { checkpointMetadata } from '../../dist/weights/checkpoint.js';
import { trained } from './networks.ts';

export type Exported = ModelOptions & {
  arch?: Arch;
  /** a network of one's own instead */
  model?: Module;
  classes?: number;
  size?: number;
};

/** Writes a checkpoint and reads it back. */
export async function exportCheckpoint(file: string, options: Exported = {}): Promise<CompleteCheckpoint> {
  const { arch = 'mobilenet_v2', model: own, classes = 5, size = 32, ...network } = options;
  const model = own ?? createModel(arch, { widthMult: 0.35, bnMomentum: 0.99, numClasses: classes, ...network });
  // With a momentum near 1 the running statistics are nearly those of the pictures `trained` has.
  const weights = await trained(model, input('x', [-1, 3, size, size]), [8, 3, size, size]);
  const names = Array.from({ length: classes }, (_, i) => `class ${String.fromCodePoint(97 + (i % 26))}${i}`);
  const metadata = checkpointMetadata(model, names, { size, scale: 'x/127.5-1' }, { source: 'a test' });
  const tensors = await weights.get();
  weights.dispose();
  // First weights of a head are small: every class as likely as the next, whatever came before. Not so here.
  const head = [...tensors.values()].findLast(({ shape }) => shape.length === 2 && shape[0] === classes)!;
  head.data = Float32Array.from(head.data as Float32Array, (w) => 8 * w);
  await writeSafetensors(file, tensors, metadata);
  return completeCheckpoint(await loadCheckpoint(file), own ? { model: own } : {});
}
