// Times every depthwise convolution of MobileNetV2 on each route, against the bandwidth of a plain copy on the same
// device in the same run.
import { MobileNetV2 } from '../models/mobilenet-v2.js';
import { Engine } from '../engine/engine.js';
import { settled } from '../native/failures.js';
import { native } from '../native/load.js';
import type { DepthwiseRoute } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { input } from '../graph/tensor.js';
import { spread, type Spread } from './samples.js';

export interface DepthwiseBench {
  /** side of the network's images, pixels */
  size: number;
  batchSize: number;
  device: string;
  threads?: number | undefined;
  /** this one alone; default: every route of the device */
  route?: DepthwiseRoute | undefined;
  /** samples of each figure */
  n: number;
}

/** One operation: its time, and the share of the copy's bandwidth at which it moves the bytes it must. */
export interface DepthwiseFigure {
  ms: Spread;
  /** input read once, output written once */
  bytes: number;
  shareOfCopy: number;
}

export interface DepthwiseRow {
  channels: number;
  height: number;
  width: number;
  stride: number;
  /** layers of the network with this shape */
  layers: number;
  dtype: 'float32' | 'bfloat16';
  route: DepthwiseRoute;
  forward: DepthwiseFigure;
  inputGradient: DepthwiseFigure;
  weightGradient: DepthwiseFigure;
  /** CUDA: timed as graphs, so that none of the host's time is in the figures */
  captured: boolean;
}

export interface DepthwiseMachine {
  device: string;
  threads: number;
  /** bytes a second a copy within the device moves, reads and writes counted */
  copyBandwidth: number;
}

/** Far larger than any cache. */
const COPY_BYTES = { cpu: 2 ** 28, cuda: 2 ** 30 };

/** Shapes of the network's depthwise layers, equal ones counted. */
export function depthwiseShapes(
  size: number,
): Pick<DepthwiseRow, 'channels' | 'height' | 'width' | 'stride' | 'layers'>[] {
  const shapes = new Map<string, { channels: number; height: number; width: number; stride: number; layers: number }>();
  for (const node of topological([MobileNetV2({ numClasses: 1 }).call(input('image', [-1, 3, size, size]))])) {
    if (node.op !== 'depthwiseConv2d') continue;
    const [, channels, height, width] = node.inputs[0]!.shape as [number, number, number, number];
    const stride = (node.attrs['stride'] as number[])[0]!;
    const key = [channels, height, width, stride].join();
    shapes.set(key, { channels, height, width, stride, layers: (shapes.get(key)?.layers ?? 0) + 1 });
  }
  return [...shapes.values()];
}

/** What a depthwise convolution can be computed by. `native` on CUDA works on NCHW: what turning x and y costs is in its times. */
export function depthwiseRoutes(device: string): readonly DepthwiseRoute[] {
  return device === 'cpu' ? ['native', 'fused'] : ['cudnn', 'native', 'fused'];
}

/** Each row as soon as it is measured; returns what they are measured against. */
export async function* benchDepthwise(o: DepthwiseBench): AsyncGenerator<DepthwiseRow, DepthwiseMachine> {
  using engine = new Engine({ device: o.device, ...(o.threads !== undefined && { threads: o.threads }) });
  const cuda = engine.device.startsWith('cuda');
  const bytes = COPY_BYTES[cuda ? 'cuda' : 'cpu'];
  const copies = await settled(() => native().timeCopy(engine.native, { bytes, samples: o.n }));
  const copyBandwidth = (2 * bytes) / spread([...copies]).median;
  const routes = o.route ? [o.route] : depthwiseRoutes(engine.device);
  for (const shape of depthwiseShapes(o.size)) {
    const { channels, height, width, stride } = shape;
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const out = (((height - 1) / stride + 1) | 0) * (((width - 1) / stride + 1) | 0);
      const moved = o.batchSize * channels * (height * width + out) * (dtype === 'float32' ? 4 : 2) + channels * 9 * 4;
      const figure = (seconds: Float64Array): DepthwiseFigure => {
        const ms = spread(Array.from(seconds, (s) => 1000 * s));
        return { ms, bytes: moved, shareOfCopy: (1000 * moved) / ms.median / copyBandwidth };
      };
      for (const route of routes) {
        const work = { route, dtype, shape: [o.batchSize, channels, height, width], stride, samples: o.n };
        const times = await settled(() => native().timeDepthwise(engine.native, work));
        yield {
          ...shape,
          dtype,
          route,
          forward: figure(times.forward),
          inputGradient: figure(times.inputGradient),
          weightGradient: figure(times.weightGradient),
          captured: times.captured,
        };
      }
    }
  }
  return { device: engine.device, threads: engine.threads, copyBandwidth };
}
