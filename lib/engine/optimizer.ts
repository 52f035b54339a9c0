// Optimizer descriptions. The update itself is native (native/state/update.h); the learning rate is an input of each step.
import { UsageError } from '../errors.js';
import type { OptimizerSpec } from '../native/wire.js';

export type { OptimizerSpec } from '../native/wire.js';

function within(what: string, value: number, least: number, below: number): void {
  if (!(value >= least && value < below))
    throw new UsageError(`${what}: expected a number in [${least}, ${below}), got ${value}`);
}

/**
 * Stochastic gradient descent, PyTorch's form: v = momentum * v + g; w -= lr * v (or g + momentum * v with nesterov).
 * Weight decay is added to the gradient.
 * @example
 * import { sgd } from 'mnv2-torch';
 * console.log(sgd({ momentum: 0.9, nesterov: true }).kind); // sgd
 */
export function sgd({ momentum = 0, nesterov = false, weightDecay = 0 } = {}): OptimizerSpec {
  within('momentum', momentum, 0, 1);
  within('weightDecay', weightDecay, 0, Infinity);
  if (nesterov && momentum === 0) throw new UsageError('nesterov: expected a momentum above 0, got 0');
  return { kind: 'sgd', momentum, nesterov, weightDecay };
}

/** Settings of adam and adamw, by the names of the papers. */
export interface AdamOptions {
  /** decay of the mean of gradients (default 0.9) */
  beta1?: number;
  /** decay of the mean of their squares (default 0.999) */
  beta2?: number;
  /** added to the divisor (default 1e-8) */
  eps?: number;
  /** default 0; 0.01 for adamw */
  weightDecay?: number;
}

function adamSpec(
  kind: 'adam' | 'adamw',
  { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0 }: AdamOptions,
): OptimizerSpec {
  within('beta1', beta1, 0, 1);
  within('beta2', beta2, 0, 1);
  within('eps', eps, 0, Infinity);
  within('weightDecay', weightDecay, 0, Infinity);
  return { kind, beta1, beta2, eps, weightDecay };
}

/**
 * Adam (Kingma and Ba 2015); weight decay is added to the gradient.
 * @example
 * import { adam } from 'mnv2-torch';
 * console.log(adam().beta2); // 0.999
 */
export const adam = (options: AdamOptions = {}): OptimizerSpec => adamSpec('adam', options);

/**
 * AdamW (Loshchilov and Hutter 2019): weight decay shrinks the weights, apart from the gradient. Default decay 0.01.
 * @example
 * import { adamw } from 'mnv2-torch';
 * console.log(adamw().weightDecay); // 0.01
 */
export const adamw = (options: AdamOptions = {}): OptimizerSpec => adamSpec('adamw', { weightDecay: 0.01, ...options });

/**
 * RMSprop with momentum. Defaults are MobileNet V2's (section 6.1): decay 0.9, momentum 0.9, weight decay 4e-5, with
 * TensorFlow's epsilon inside the square root; `epsInsideSqrt: false` is PyTorch's.
 * @example
 * import { rmsprop } from 'mnv2-torch';
 * console.log(rmsprop().alpha); // 0.9
 */
export function rmsprop({
  alpha = 0.9,
  eps = 1e-3,
  momentum = 0.9,
  weightDecay = 4e-5,
  epsInsideSqrt = true,
} = {}): OptimizerSpec {
  within('alpha', alpha, 0, 1);
  within('eps', eps, 0, Infinity);
  within('momentum', momentum, 0, 1);
  within('weightDecay', weightDecay, 0, Infinity);
  return { kind: 'rmsprop', alpha, eps, momentum, weightDecay, epsInsideSqrt };
}
