// Checkpoints in memory: of networks of a test's own, and of the architectures with their first weights.
import {
  compile,
  completeCheckpoint,
  input,
  loadCheckpoint,
  Module,
  tensorData,
  Weights,
  type CompleteCheckpoint,
  type Tensor,
  type TensorData,
} from 'mnv2-torch';
import { planes, wave } from './networks.ts';

/** A network that is one function of its image. */
export class Only extends Module {
  constructor(private readonly body: (x: Tensor) => Tensor) {
    super();
  }
  forward(x: Tensor): Tensor {
    return this.body(x);
  }
}

/** A checkpoint of a network of one's own with its first weights, of two classes. */
export function ownCheckpoint(model: Module, size = 8): CompleteCheckpoint {
  return {
    file: 'own.safetensors',
    tensors: new Map([...model.state(1)].map((t) => [t.name, t])),
    metadata: { made: 'for a test' },
    arch: model.constructor.name,
    options: {},
    classes: ['a', 'b'],
    task: { kind: 'multiclass' },
    preprocess: { size, scale: 'x/127.5-1' },
    model,
  };
}

/** One read from a file, complete. */
export const complete = async (file: string): Promise<CompleteCheckpoint> =>
  completeCheckpoint(await loadCheckpoint(file));

/** What the checkpoint's own network makes of scaled images [N, C, H, W], op by op. */
export async function logitsOf({ model, tensors }: CompleteCheckpoint, images: TensorData): Promise<TensorData> {
  using weights = await Weights.init({ state: () => [...tensors].map(([name, t]) => ({ name, ...t })) });
  const y = model.eval().call(input('image', [-1, ...images.shape.slice(1)]));
  using program = compile({ y }, { weights, fuse: false });
  return (await program.run({ image: images })).y!;
}

/** Pictures [n, size, size, 3]. */
export const pictures = (n: number, size: number): TensorData =>
  tensorData(
    Uint8Array.from(wave(n * size * size * 3, 3), (v) => 127 + 90 * v),
    [n, size, size, 3],
  );
/** What x/127.5-1 makes of them, [n, 3, size, size]. */
export const scaled = (of: TensorData): TensorData => planes(of, { size: of.shape[1]!, scale: 'x/127.5-1' });
/** Probabilities of logits [n, classes]. */
export function probabilities({ data, shape }: TensorData): Float32Array {
  const k = shape[1]!;
  const exps = Float64Array.from(data as Float32Array, Math.exp);
  return Float32Array.from(exps, (e, i) => e / exps.subarray(i - (i % k), i - (i % k) + k).reduce((a, b) => a + b));
}
