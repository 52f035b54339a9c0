// Networks with their first weights under another library's names.
import { createModel, type Arch, type MobileNetV2Options, type TensorData } from 'mnv2-torch';
import { architectureOf } from '../../dist/models/registry.js';
import { resolveOptions } from '../../dist/models/options.js';

export type Tensors = Map<string, TensorData>;
const COLUMNS = { torchvision: 0, timm: 1, Keras: 2 } as const;
export type Library = keyof typeof COLUMNS;

/** A network's first tensors. */
export const own = (arch: Arch, options: MobileNetV2Options): Tensors =>
  new Map([...createModel(arch, options).state(7)].map(({ name, ...tensor }) => [name, tensor]));

/** A tensor whose axis i is `from`'s axis order[i], number by number. */
function transposed({ data, shape, dtype }: TensorData, order: readonly number[]): TensorData {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const to = order.map((axis) => shape[axis]!);
  const values = new Float32Array(data.length);
  const index = to.map(() => 0);
  let from = 0;
  for (let i = 0; i < values.length; i++) {
    values[i] = Number(data[from]);
    for (let axis = to.length - 1; axis >= 0; axis--) {
      from += strides[order[axis]!]!;
      if (++index[axis]! < to[axis]!) break;
      from -= strides[order[axis]!]! * to[axis]!;
      index[axis] = 0;
    }
  }
  return { data: values, shape: to, dtype };
}

const KERAS = { weight: 'gamma', bias: 'beta', running_mean: 'moving_mean', running_var: 'moving_variance' } as const;
/** As Keras has it: the name of the array and its axes; nothing where it has none. */
function kerasArray(layer: string, array: string, tensor: TensorData, norm: boolean): [string, TensorData] | undefined {
  if (array === 'num_batches_tracked') return undefined;
  if (norm) return [`${layer}/${KERAS[array as keyof typeof KERAS]}:0`, tensor];
  if (array === 'bias') return [`${layer}/bias:0`, tensor];
  if (tensor.shape.length === 2) return [`${layer}/kernel:0`, transposed(tensor, [1, 0])];
  const depthwise = tensor.shape[1] === 1 && tensor.shape[0] !== 1 && tensor.shape[2] !== 1;
  return depthwise
    ? [`${layer}/depthwise_kernel:0`, transposed(tensor, [2, 3, 0, 1])]
    : [`${layer}/kernel:0`, transposed(tensor, [2, 3, 1, 0])];
}

/** The tensors under a library's names; Keras' with its axes. */
export function renamed(arch: Arch, options: MobileNetV2Options, library: Library): Tensors {
  const tensors = own(arch, options);
  const { layers, options: table } = architectureOf(arch)!;
  const column = COLUMNS[library];
  const theirs = new Map(layers(resolveOptions(table, options) as never).map((row) => [row[0], row[column]]));
  const out: Tensors = new Map();
  for (const [name, tensor] of tensors) {
    const [path, array] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)];
    const layer = theirs.get(path)!;
    if (library !== 'Keras') out.set(`${layer}.${array}`, tensor);
    else {
      const keras = kerasArray(layer, array, tensor, tensors.has(`${path}.running_var`));
      if (keras) out.set(...keras);
    }
  }
  return out;
}
