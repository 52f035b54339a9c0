// Initialisers: what a parameter holds before training.
import { normal, type Uniform } from '../random.js';

/** Fills `count` values of a parameter of this shape. */
export type Initializer = (shape: readonly number[], uniform: Uniform) => Float32Array;

const fill = (shape: readonly number[], draw: () => number): Float32Array => {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < values.length; i++) values[i] = draw();
  return values;
};

/**
 * All zeros.
 * @example
 * import { kaimingFanOut, normalInit, ones, uniformInit, zeros } from 'mnv2-torch';
 * const halves = () => 0.5; // stands in for a generator of numbers in [0, 1)
 * console.log(...zeros([1], halves), ...ones([1], halves), ...uniformInit(2)([1], halves)); // 0 1 0
 * console.log(normalInit(1)([4], halves).length, kaimingFanOut([8, 3, 3, 3], halves).length); // 4 216
 */
export const zeros: Initializer = (shape) => fill(shape, () => 0);
/** All ones. */
export const ones: Initializer = (shape) => fill(shape, () => 1);

/** Normal with mean 0 and the given standard deviation. */
export function normalInit(std: number): Initializer {
  return (shape, uniform) => {
    const gauss = normal(uniform);
    return fill(shape, () => std * gauss());
  };
}

/** Uniform in [-bound, bound). */
export function uniformInit(bound: number): Initializer {
  return (shape, uniform) => fill(shape, () => (2 * uniform() - 1) * bound);
}

/** He et al. 2015 for ReLU, fan-out mode, as torchvision initialises MobileNet's convolutions: std = sqrt(2 / (out * kH * kW)). */
export const kaimingFanOut: Initializer = (shape, uniform) => {
  const [out, , kh = 1, kw = 1] = shape;
  return normalInit(Math.sqrt(2 / (out! * kh * kw)))(shape, uniform);
};
