// Nodes that compute nothing of their own: gradients asked for, outputs of modules.
import { record, refuse, shapeText, type Tensor } from '../tensor.js';
import { needFloat } from '../shape.js';

/**
 * d loss / d w for each w, as tensors of their shapes. `loss` is a scalar; gradients of gradients are not supported.
 * @example
 * import { constant, gradients, mul, sum } from 'mnv2-torch';
 * const x = constant([1, 2, 3]);
 * const [dx] = gradients(sum(mul(x, x)), [x]);
 * console.log([...(await dx.data()).data]); // [2, 4, 6]
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.shape.length !== 0) refuse('gradients', 'a scalar loss', `[${shapeText(loss.shape)}]`);
  needFloat('gradients', loss, ...wrt);
  return wrt.map((w) => record('gradient', [loss, w], {}, w.shape, w.dtype));
}

/** Marks the output of a module; the engine never sees it, `fetch` finds it by name. Used by Module.call. */
export function moduleOutput(x: Tensor, module: string, type: string): Tensor {
  return record('module', [x], { module, type }, x.shape, x.dtype);
}
