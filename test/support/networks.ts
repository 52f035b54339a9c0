// What tests of whole networks share: weights as a trained network's, outputs with and without fusion, distances.
import {
  compile,
  pixelScaling,
  tensorData,
  Weights,
  type Module,
  type Preprocess,
  type Tensor,
  type TensorData,
} from 'mnv2-torch';

export const wave = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i * 0.7) + 0.3 * Math.cos(seed * i));
export const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Largest difference over the largest value of the plain result. */
export function apart(plain: ArrayLike<number | bigint>, fused: ArrayLike<number | bigint>): number {
  let [worst, scale] = [0, 0];
  for (let i = 0; i < plain.length; i++) {
    worst = Math.max(worst, Math.abs(Number(plain[i]) - Number(fused[i])));
    scale = Math.max(scale, Math.abs(Number(plain[i])));
  }
  return worst / scale;
}

/** The same in the Euclidean norm: for bfloat16, where single values may cross an activation's bound. */
export function distance(plain: ArrayLike<number | bigint>, fused: ArrayLike<number | bigint>): number {
  let [difference, scale] = [0, 0];
  for (let i = 0; i < plain.length; i++) {
    difference += (Number(plain[i]) - Number(fused[i])) ** 2;
    scale += Number(plain[i]) ** 2;
  }
  return Math.sqrt(difference / scale);
}

/** Random weights with the statistics of a batch of waves, so that signals reach the end as in a trained network. */
export async function trained(model: Module, x: Tensor, shape: number[], seed = 3): Promise<Weights> {
  const weights = await Weights.init(model, { seed });
  const names = [...model.namedParameters()].map(([name]) => name).filter((n) => /\.(weight|bias)$/.test(n));
  const scales = [...(await weights.get(names))].filter(([, v]) => v.shape.length === 1 && v.data.length > 20);
  await weights.set(
    scales.map(([name, v], i) => ({
      name,
      shape: [...v.shape],
      dtype: 'float32',
      data: wave(v.data.length, i).map((w) => (name.endsWith('bias') ? 0 : 1) + 0.2 * w),
    })),
  );
  using program = compile({ y: model.train().call(x) }, { weights });
  await program.run({ x: tensorData(wave(count(shape), 4), shape) });
  return weights;
}

export async function outputs(
  model: Module,
  x: Tensor,
  weights: Weights,
  shape: number[],
  options: { fuse: boolean; precision?: 'fp32' | 'bf16' },
): Promise<{ y: ArrayLike<number | bigint>; plan: string[] }> {
  using program = compile({ y: model.eval().call(x) }, { weights, ...options });
  const { y } = await program.run({ x: tensorData(wave(count(shape), 1), shape) });
  return { y: y!.data, plan: program.plan() };
}

/** Pixels [N, H, W, 3] as [N, 3, H, W], scaled as a network expects them. */
export function planes({ data, shape }: Pick<TensorData, 'data' | 'shape'>, preprocess: Preprocess): TensorData {
  const [n, h, w] = shape as [number, number, number];
  const { scale, shift } = pixelScaling(preprocess);
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const [pixel, c] = [Math.floor(i / 3), i % 3];
    const [image, at] = [Math.floor(pixel / (h * w)), pixel % (h * w)];
    out[(image * 3 + c) * h * w + at] = Number(data[i]) * scale[c]! + shift[c]!;
  }
  return { data: out, shape: [n, 3, h, w], dtype: 'float32' };
}
