// An int8 checkpoint with weights of seven bits. Processors without VNNI multiply uint8 by int8 two at a time into sixteen
// bits that saturate; two products of 255 by 63 still fit.
import { UsageError } from '../errors.js';
import { scaleName, WEIGHTS } from '../nn/quantised.js';
import type { TensorData } from '../native/wire.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';

const MOST = 63;

/**
 * The same network with its weights rounded once more, to -63 .. 63.
 * @throws UsageError for a float checkpoint
 */
export function reducedRange(checkpoint: CompleteCheckpoint): CompleteCheckpoint {
  const tensors = new Map<string, TensorData>(checkpoint.tensors);
  for (const [name, { data, shape, dtype }] of checkpoint.tensors) {
    if (dtype !== 'int8') continue;
    const q = Int8Array.from(data as Int8Array, (v) => Math.round((v * MOST) / WEIGHTS.qmax));
    const scale = checkpoint.tensors.get(scaleName(name))!;
    const wider = (scale.data as Float32Array).map((s) => (s * WEIGHTS.qmax) / MOST);
    tensors.set(name, { data: q, shape, dtype });
    tensors.set(scaleName(name), { ...scale, data: wider });
  }
  if ([...tensors.values()].every(({ dtype }) => dtype !== 'int8'))
    throw new UsageError(`reduceRange is for int8 checkpoints; ${checkpoint.file} is float: quantize it first`);
  return { ...checkpoint, tensors };
}
