// A checkpoint as a state dict that torchvision's or timm's own model loads strictly: their names, shapes and eps.
import { DataError, UsageError } from '../errors.js';
import type { TensorData } from '../graph/tensor.js';
import type { MobileNet } from '../models/classifier-network.js';
import { optionsToMetadata } from '../models/options.js';
import { architectureOf } from '../models/registry.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { encodeSafetensors, type FloatFormat } from '../weights/formats/safetensors.js';
import { quantisedForm } from '../weights/quantised.js';
import { exportMetadata } from './export-metadata.js';
import { targetOf, type Built, type Library, type Target } from './foreign-models.js';

/** How a checkpoint is written as a state dict. */
export interface SafetensorsOptions {
  /** whose names its tensors get (default 'torchvision') */
  names?: Library;
  /** 'fp16' or 'bf16': half the size; PyTorch widens them as it loads them into its float32 models (default 'fp32') */
  dtype?: FloatFormat;
}

/** The bytes of the file, the model that loads it, and what was changed for its sake. */
export interface ForeignState {
  bytes: Buffer;
  target: Target;
  notes: readonly string[];
}

/**
 * @throws UsageError where the library has no such network; DataError where the numbers cannot be those of its network, or
 * are too large for the type
 */
export function toSafetensors(checkpoint: CompleteCheckpoint, options: SafetensorsOptions = {}): ForeignState {
  const { names = 'torchvision', dtype = 'fp32' } = options;
  const { model, arch, file } = checkpoint;
  if (quantisedForm(checkpoint.metadata, file))
    throw new UsageError(
      `${file} is int8, which ${names} has no such network for: export it as onnx, or its float checkpoint`,
    );
  const architecture = architectureOf(model);
  if (!architecture)
    throw new UsageError(
      `${file} holds a network of your own, '${arch}', which ${names} does not have: export it as onnx or torchscript`,
    );
  const built = (model as MobileNet).options as Built;
  const target = targetOf(names, architecture.name, built);
  const paths = new Map(architecture.layers(built).map(([ours, timm]) => [ours, names === 'timm' ? timm : ours]));
  const shift = built.bnEps - target.bnEps;
  const tensors = new Map<string, TensorData>();
  for (const [name, { shape }] of model.namedParameters()) {
    const dot = name.lastIndexOf('.');
    const [path, array] = [paths.get(name.slice(0, dot))!, name.slice(dot + 1)];
    let tensor = checkpoint.tensors.get(name) ?? { data: BigInt64Array.of(0n), shape: [...shape], dtype: 'int64' };
    if (tensor.dtype === 'float64')
      tensor = { ...tensor, data: Float32Array.from(tensor.data as Float64Array), dtype: 'float32' };
    if (array === 'running_var') tensor = withEps(tensor, shift, () => tooSmall(name, built.bnEps, target, names));
    if (path === 'conv_head' && tensor.shape.length === 2) tensor = { ...tensor, shape: [...tensor.shape, 1, 1] };
    if (dtype === 'fp16') checkRange(name, tensor);
    tensors.set(`${path}.${array}`, tensor);
  }
  const metadata: Record<string, string> = {
    ...exportMetadata(checkpoint),
    ...optionsToMetadata(architecture.options, { ...built, bnEps: target.bnEps }),
    loads_into: target.call,
  };
  // 'arch' says that the names are ours; of others a reader sees by themselves what they are.
  const { arch: _ours, ...others } = metadata;
  const bytes = Buffer.concat(encodeSafetensors(tensors, names === 'timm' ? others : metadata, dtype));
  const eps = `added ${Number(shift.toPrecision(6))} to every running_var: its BatchNorm has eps ${target.bnEps}, ours ${built.bnEps}; the function is the same`;
  return { bytes, target, notes: [`loads strictly into ${target.call}`, ...(shift === 0 ? [] : [eps])] };
}

/** BatchNorm divides by sqrt(variance + eps): what another eps lacks, the variance can have. */
function withEps(variance: TensorData, shift: number, refuse: () => never): TensorData {
  if (shift === 0) return variance;
  const data = Float32Array.from(variance.data as Float32Array, (v) => v + shift);
  return data.some((v) => v < 0) ? refuse() : { ...variance, data };
}

function tooSmall(name: string, ours: number, { bnEps, call }: Target, names: Library): never {
  const else_ = names === 'torchvision' ? 'names timm (--names timm), or ' : '';
  throw new DataError(
    `'${name}' has a variance too small to make up for the eps of ${call}, ${bnEps}, where ours is ${ours}: ` +
      `use ${else_}onnx or torchscript (--format)`,
  );
}

function checkRange(name: string, { data, dtype }: TensorData): void {
  const large = (v: number): boolean => Math.abs(v) >= 65520 && Number.isFinite(v); // which rounds to infinity
  if (dtype === 'float32' && (data as Float32Array).some(large))
    throw new DataError(
      `'${name}' has a value beyond 65504, which half precision cannot hold: export in bf16 or fp32 (--dtype)`,
    );
}
