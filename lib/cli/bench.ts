// `mnv2-torch bench`: how fast this machine is, as a table or one JSON line. The measuring is bench/'s.
import os from 'node:os';
import { native } from '../native/load.js';
import { UsageError } from '../errors.js';
import {
  benchDepthwise,
  depthwiseRoutes,
  type DepthwiseFigure,
  type DepthwiseMachine,
  type DepthwiseRow,
} from '../bench/depthwise.js';
import { benchNetwork, type NetworkRow } from '../bench/network.js';
import { resolveDevice } from '../engine/engine.js';
import { createModel } from '../models/registry.js';
import { define } from './command.js';
import { archFlag, batchSizeFlag, deviceFlag, precisionFlag, sizeFlag, threadsFlag, widthFlag } from './flags.js';
import { namedNetwork, openWeights, wishesOf } from './network.js';
import { choice, flag, optionalPath, whole, type Values } from './options.js';

const operands = {
  what: choice(['network', 'depthwise'] as const, {
    default: 'network',
    describe: 'inference and training steps, or every depthwise convolution on each route',
  }),
};
const options = {
  arch: archFlag(),
  width: widthFlag(),
  weights: optionalPath({ describe: 'a checkpoint: its network and image size are timed' }),
  size: sizeFlag({ least: 32, describe: 'side of the images, pixels (default 224, or what the weights say)' }),
  batchSize: batchSizeFlag({ least: 2, default: 16, describe: 'images a step' }),
  precision: precisionFlag(),
  device: deviceFlag({ default: 'auto' }),
  threads: threadsFlag(),
  route: choice(['cudnn', 'native', 'fused'] as const, {
    describe: 'depthwise: this route alone (default: each the device has)',
  }),
  n: whole({ least: 1, default: 7, describe: 'samples of each figure' }),
  json: flag({ describe: 'one JSON line' }),
};

/** What every figure depends on besides the options. */
function machine(): Record<string, unknown> {
  const { package: version, libtorch, cuda, cpuCapability } = native().buildInfo();
  const gpu = native().cudaDevices()[0]?.name;
  return {
    package: version,
    libtorch,
    cuda,
    node: process.version,
    cpu: os.cpus()[0]?.model ?? '',
    cpuCapability,
    ...(gpu && { gpu }),
  };
}

const milliseconds = (v: number): string => (v < 10 ? v.toPrecision(3) : v.toFixed(1));

function networkLine(r: NetworkRow): string {
  const { median, min, max, p99, n } = r.ms;
  const range = `${milliseconds(min)} to ${milliseconds(max)}, n ${n}${p99 === undefined ? '' : `, p99 ${milliseconds(p99)}`}`;
  return `${r.work.padEnd(14)} batch ${String(r.batch).padEnd(4)} ${milliseconds(median).padStart(7)} ms  ${r.imagesPerSecond.toFixed(0).padStart(7)} images/s  (${range})`;
}

const DEPTHWISE_HEAD =
  'channels   input  stride layers dtype    route      MB  |  forward ms, of copy |  input grad       |  weight grad';

function depthwiseLine(r: DepthwiseRow): string {
  const figure = ({ ms, shareOfCopy }: DepthwiseFigure): string =>
    `${milliseconds(ms.median).padStart(8)} ${(100 * shareOfCopy).toFixed(0).padStart(4)}%`;
  const shape = `${String(r.channels).padStart(8)} ${`${r.height}x${r.width}`.padStart(7)} ${String(r.stride).padStart(6)} ${String(r.layers).padStart(6)}`;
  return `${shape} ${r.dtype.padEnd(8)} ${r.route.padEnd(6)} ${(r.forward.bytes / 1e6).toFixed(1).padStart(7)}  | ${figure(r.forward)}       | ${figure(r.inputGradient)}    | ${figure(r.weightGradient)}`;
}

/** Hands rows to `each` and gives what the generator returns. */
async function drain<Row, End>(rows: AsyncGenerator<Row, End>, each: (row: Row) => void): Promise<End> {
  for (;;) {
    const next = await rows.next();
    if (next.done) return next.value;
    each(next.value);
  }
}

async function run(a: Values<typeof operands> & Values<typeof options>): Promise<void> {
  const device = resolveDevice(a.device);
  const line = (text: string): void => {
    if (!a.json) process.stdout.write(`${text}\n`);
  };
  const shared = { batchSize: a.batchSize, device, threads: a.threads, n: a.n };
  const rows: object[] = [];
  const show =
    <Row extends object>(format: (row: Row) => string) =>
    (row: Row): void => {
      rows.push(row);
      line(format(row));
    };

  let settings: object;
  let found: object;
  if (a.what === 'depthwise') {
    for (const flag of ['arch', 'width', 'weights'] as const) {
      if (a[flag] !== undefined)
        throw new UsageError(
          `--${flag} belongs to 'bench network'; 'bench depthwise' takes MobileNetV2's shapes at --size`,
        );
    }
    const routes = depthwiseRoutes(device);
    if (a.route && !routes.includes(a.route))
      throw new UsageError(`--route ${a.route}: expected one of ${routes.join(', ')} on ${device}`);
    const size = a.size ?? 224;
    settings = { size, batchSize: a.batchSize };
    line(
      `depthwise 3x3 convolutions of MobileNetV2, ${size} px, batch ${a.batchSize}, on ${device}\n${DEPTHWISE_HEAD}`,
    );
    const end: DepthwiseMachine = await drain(benchDepthwise({ ...shared, size, route: a.route }), show(depthwiseLine));
    line(`a copy within the device moves ${(end.copyBandwidth / 1e9).toFixed(1)} GB/s`);
    found = end;
  } else {
    if (a.route !== undefined) throw new UsageError("--route belongs to 'bench depthwise'");
    const checkpoint = a.weights === undefined ? undefined : await openWeights(a.weights, wishesOf(a));
    const { arch, options: network } = namedNetwork(a, checkpoint);
    const classes = checkpoint?.options.numClasses ?? 21;
    const size = a.size ?? checkpoint?.preprocess?.size ?? 224;
    const model = () => createModel(arch, { ...network, numClasses: classes });
    settings = { arch, model: model().options, size, batchSize: a.batchSize, precision: a.precision };
    line(`${arch}, ${size} px, ${a.precision}, on ${device}`);
    found = await drain(benchNetwork({ ...shared, model, classes, size, precision: a.precision }), show(networkLine));
  }
  if (a.json) process.stdout.write(`${JSON.stringify({ bench: a.what, ...machine(), ...found, ...settings, rows })}\n`);
}

export const command = define({
  usage: 'bench [what]',
  describe: 'how fast this machine runs and trains a network',
  operands,
  options,
  run,
});
