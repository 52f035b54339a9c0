// Pooling over H and W of [N, C, H, W].
import type { OpName } from '../op-names.js';
import { record, refuse, type Tensor } from '../tensor.js';
import { needFloat, needRank, pair, slide, type Pair } from '../shape.js';

/**
 * Mean over H and W: [N, C, H, W] -> [N, C].
 * @example
 * import { constant, globalAveragePool } from 'mnv2-torch';
 * console.log([...(await globalAveragePool(constant([1, 2, 3, 6], [1, 1, 2, 2])).data()).data]); // [3]
 */
export function globalAveragePool(x: Tensor): Tensor {
  needRank('globalAveragePool', 'an input [N, C, H, W]', x, 4);
  needFloat('globalAveragePool', x);
  return record('globalAveragePool', [x], {}, x.shape.slice(0, 2), x.dtype);
}

/** The window of a pooling. */
export interface PoolOptions {
  /** height and width of the window, pixels */
  kernel: Pair;
  /** defaults to the kernel */
  stride?: Pair;
  /** at most half the kernel on each side */
  padding?: Pair;
}

const pool =
  (op: OpName) =>
  (x: Tensor, options: PoolOptions): Tensor => {
    needRank(op, 'an input [N, C, H, W]', x, 4);
    needFloat(op, x);
    const kernel = pair(op, 'kernel', options.kernel, 1);
    const stride = pair(op, 'stride', options.stride ?? kernel, 1);
    const padding = pair(op, 'padding', options.padding ?? 0, 0);
    if (padding.some((p, i) => 2 * p > kernel[i]!))
      refuse(op, 'padding of at most half the kernel', JSON.stringify(padding));
    const out = [0, 1].map((i) => slide(op, x.shape[2 + i]!, kernel[i]!, stride[i]!, padding[i]!, padding[i]!));
    return record(op, [x], { kernel, stride, padding }, [...x.shape.slice(0, 2), ...out], x.dtype);
  };

/**
 * Average pooling; padded zeros count.
 * @example
 * import { avgPool2d, constant } from 'mnv2-torch';
 * console.log([...(await avgPool2d(constant([1, 2, 3, 6], [1, 1, 2, 2]), { kernel: 2 }).data()).data]); // [3]
 */
export const avgPool2d = pool('avgPool2d');

/**
 * Maximum pooling.
 * @example
 * import { constant, maxPool2d } from 'mnv2-torch';
 * console.log([...(await maxPool2d(constant([1, 2, 3, 6], [1, 1, 2, 2]), { kernel: 2 }).data()).data]); // [6]
 */
export const maxPool2d = pool('maxPool2d');
