// The rows of the bench, their cases and what must hold. Measures nothing.

const ALL_TORCH = ['pytorch-eager', 'pytorch-best', 'pytorch-cached'];

/** Each case: what is asked of the contenders, units a sample, and images a unit (for images a second). */
export function casesOf(row, size) {
  switch (row) {
    case 1:
      return [
        {
          key: 'reference/fp32',
          job: true,
          precision: 'fp32',
          contenders: ['ours', 'pytorch-eager', 'pytorch-cached', 'keras-tensorflow'],
        },
        { key: 'reference/bf16', job: true, precision: 'bf16', contenders: ['ours', 'pytorch-best', 'pytorch-cached'] },
      ];
    case 2:
      return [16, 64].flatMap((batch) =>
        ['fp32', 'bf16'].map((precision) => ({
          key: `full-step/b${batch}/${precision}`,
          request: { case: 'train-step', batch, precision, frozen: 0 },
          units: batch === 16 ? 4 : 1,
          images: batch,
          contenders: ['ours', 'pytorch-eager', 'pytorch-best', 'keras-tensorflow'],
        })),
      );
    case 3:
      return ['fp32', 'bf16'].map((precision) => ({
        key: `last-three-blocks/b16/${precision}`,
        request: { case: 'train-step', batch: 16, precision, frozen: 16 },
        units: 8,
        images: 16,
        contenders: ['ours', ...ALL_TORCH, 'keras-tensorflow'],
      }));
    case 4:
      return [1, 64].flatMap((batch) =>
        ['fp32', 'bf16'].map((precision) => ({
          key: `inference/b${batch}/${precision}`,
          request: { case: 'infer', batch, precision },
          units: batch === 1 ? 40 : 2,
          images: batch,
          latency: batch === 1,
          contenders: ['ours', 'pytorch-eager', 'pytorch-best', 'keras-tensorflow', 'onnxruntime-node', 'tfjs-wasm'],
        })),
      );
    case 5:
      return [false, true].map((cached) => ({
        key: `decode/${cached ? 'cached' : 'cold'}`,
        request: { case: 'decode', images: size.images, cached },
        units: 1,
        images: size.images,
        contenders: ['ours', 'pytorch-eager', 'pytorch-best', 'keras-tensorflow'],
      }));
    case 6:
      return [{ key: 'overhead', request: { case: 'overhead' }, units: 12, contenders: ['ours'] }];
    case 7:
      return [1000, 5000, 20000].map((images) => ({
        key: `memory/${images}-images`,
        request: { case: 'grow', images },
        units: 1,
        large: images,
        contenders: ['ours'],
      }));
    default:
      throw new Error(`--rows: expected numbers from 1 to 7, got ${row}`);
  }
}

/** `ours` and `peer` list cases; of several the fastest counts ("best precision of each"). */
export const THRESHOLDS = [
  {
    name: 'reference job, fp32',
    ours: ['reference/fp32'],
    against: 'pytorch-eager',
    peer: ['reference/fp32'],
    atLeast: 40,
  },
  {
    name: 'reference job, bf16',
    ours: ['reference/bf16'],
    against: 'pytorch-best',
    peer: ['reference/bf16'],
    atLeast: 12,
  },
  {
    name: 'reference job, bf16, cached',
    ours: ['reference/bf16'],
    against: 'pytorch-cached',
    peer: ['reference/bf16'],
    atLeast: 1.5,
  },
  ...[16, 64].map((b) => {
    const both = [`full-step/b${b}/fp32`, `full-step/b${b}/bf16`];
    return {
      name: `full fine-tuning step, batch ${b}, best precision of each`,
      ours: both,
      against: 'pytorch-best',
      peer: both,
      atLeast: 1.5,
    };
  }),
  {
    name: 'inference, batch 64, best of each',
    ours: ['inference/b64/fp32', 'inference/b64/bf16'],
    against: 'pytorch-best',
    peer: ['inference/b64/fp32', 'inference/b64/bf16'],
    atLeast: 1.1,
  },
  {
    name: 'inference, batch 64, fp32',
    ours: ['inference/b64/fp32'],
    against: 'onnxruntime-node',
    peer: ['inference/b64/fp32'],
    atLeast: 1.5,
  },
  {
    name: 'inference, batch 1, fp32, latency',
    ours: ['inference/b1/fp32'],
    against: 'onnxruntime-node',
    peer: ['inference/b1/fp32'],
    atLeast: 1.5,
  },
];

/** Images a second of a training step at batch 256 that moves no byte twice, on one H200 (GPU.md). */
export const IDEAL_FUSION = 52_700;

/** Parts of the GPU bench in the order they run; `limit`: seconds after which a part ends, whatever is missing. */
export function gpuCases({ large = 256, small = 16 } = {}) {
  return [
    {
      part: 'step',
      key: 'gpu/full-step/large/bf16',
      request: { case: 'train-step', batch: large, precision: 'bf16', frozen: 0 },
      units: large > 16 ? 24 : 1,
      images: large,
      limit: 145,
      reserve: 15,
      contenders: ['ours', 'pytorch-best', 'pytorch-compiled'],
    },
    {
      part: 'small-step',
      key: 'gpu/full-step/small/bf16',
      request: { case: 'train-step', batch: small, precision: 'bf16', frozen: 0 },
      units: small > 4 ? 64 : 1,
      images: small,
      limit: 35,
      reserve: 5,
      contenders: ['ours', 'pytorch-best'],
    },
    {
      part: 'inference',
      key: 'gpu/inference/large/bf16',
      request: { case: 'infer', batch: large, precision: 'bf16' },
      units: large > 16 ? 24 : 1,
      images: large,
      limit: 90,
      reserve: 10,
      contenders: ['ours', 'pytorch-compiled'],
    },
    {
      part: 'reference',
      key: 'gpu/reference/fp32',
      job: true,
      precision: 'fp32',
      limit: 90,
      contenders: ['ours', 'pytorch-eager'],
    },
    { part: 'accuracy', key: 'gpu/fine-tune', accuracy: 0.98, limit: 55, contenders: ['ours'] },
    { part: 'depthwise', key: 'gpu/depthwise', batch: large, limit: 45, contenders: [] },
  ];
}

/** What must hold on one H200: issue 4's table. */
export const GPU_THRESHOLDS = [
  {
    name: 'full training step, batch 256, bf16',
    ours: ['gpu/full-step/large/bf16'],
    against: 'pytorch-best',
    says: 'PyTorch eager, NHWC, autocast',
    atLeast: 2,
  },
  {
    name: 'full training step, batch 256, bf16',
    ours: ['gpu/full-step/large/bf16'],
    against: 'pytorch-compiled',
    says: 'torch.compile(mode="max-autotune")',
    atLeast: 1.3,
  },
  {
    name: 'full training step, batch 16, bf16',
    ours: ['gpu/full-step/small/bf16'],
    against: 'pytorch-best',
    says: 'PyTorch eager, NHWC, autocast',
    atLeast: 4,
  },
  {
    name: 'inference, batch 256, bf16',
    ours: ['gpu/inference/large/bf16'],
    against: 'pytorch-compiled',
    says: 'torch.compile max-autotune',
    atLeast: 1.2,
  },
  {
    name: 'reference job, process start to checkpoint',
    ours: ['gpu/reference/fp32'],
    against: 'pytorch-eager',
    says: 'PyTorch eager as written',
    atLeast: 30,
  },
].map((t) => ({ ...t, peer: t.ours }));
