// Options that several commands take, with their bounds. Bounds are where a typing error ends and a wish begins: beyond
// them a network does not fit into any machine, and finding that out would take minutes.
import { MOST_PIXELS } from '../data/checks.js';
import { DEFAULT_MAX_PIXELS } from '../data/decode.js';
import { MOST_BATCH } from '../engine/batch-size.js';
import { DEVICES, DEVICES_TEXT, MOST_THREADS } from '../engine/engine.js';
import { MOST_CLASSES, MOST_WIDTH } from '../models/classifier-network.js';
import { ARCHITECTURES } from '../models/registry.js';
import { TTA } from '../infer/views.js';
import { MOST_SIZE } from '../weights/preprocess.js';
import { choice, flag, number, whole, word } from './options.js';

const ARCH = 'network (default mobilenet_v2, or what the weights say)';
const WIDTH = 'width multiplier (default 1, or what the weights say)';
export const archFlag = () => choice(ARCHITECTURES, { describe: ARCH });
export const widthFlag = () => number({ above: 0, most: MOST_WIDTH, describe: WIDTH });
export const sizeFlag = (o: { least: number; describe: string }) => whole({ most: MOST_SIZE, ...o });
export const classesFlag = (o: { describe: string }) => whole({ least: 1, most: MOST_CLASSES, ...o });
export const batchSizeFlag = <D extends number | undefined = undefined>(o: {
  least: number;
  describe: string;
  default?: D;
}) => whole<D>({ most: MOST_BATCH, ...o });
export const seedFlag = (o: { describe: string }) =>
  whole({ least: 0, most: Number.MAX_SAFE_INTEGER, default: 0, ...o });

/** The device is looked for when it is used; its name is checked here. */
export const deviceFlag = (o: { default: 'auto' | 'cpu' }) =>
  word<string, string>({
    expected: DEVICES_TEXT,
    parse: (typed) => (DEVICES.test(typed) ? typed : undefined),
    describe: 'where it runs',
    ...o,
  });
export const ttaFlag = () =>
  choice(TTA, { describe: 'also the mean over views of an image: it and its mirror image, or all eight symmetries' });
export const threadsFlag = () => whole({ least: 1, most: MOST_THREADS, describe: 'CPU threads (default: all cores)' });
export const moduleFlag = () =>
  word<string>({
    expected: 'the name of a module',
    parse: (typed) => (typed === '' ? undefined : typed),
    describe: "whose output is taken, as in 'features.14' (default: what the head reads)",
  });
export const precisionFlag = () =>
  choice(['fp32', 'bf16'] as const, { default: 'fp32', describe: 'bf16: convolutions in bfloat16' });

type Freeze = 'features' | 'none' | number;
export const freezeFlag = (o: { default: 'features' | 'none'; describe: string }) =>
  word<Freeze, Freeze>({
    expected: 'features, none or a number of blocks',
    parse: (typed) =>
      typed === 'features' || typed === 'none' ? typed : /^\d{1,3}$/.test(typed) ? Number(typed) : undefined,
    ...o,
  });

/** What is done with pictures that cannot be read as they were saved. */
export const badImageFlags = (o: { skipBad: string }) => ({
  skipBad: flag({ describe: o.skipBad }),
  allowDamaged: flag({ describe: 'use what is left of damaged images' }),
  maxPixels: whole({
    least: 1,
    most: MOST_PIXELS,
    default: DEFAULT_MAX_PIXELS,
    describe: 'pixels of the largest image that is read',
  }),
});
