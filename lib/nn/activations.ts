// Activations as layers: ops without parameters, for a place in a Sequential.
import { hardsigmoid, hardswish, relu, relu6, sigmoid, silu } from '../graph/ops.js';
import type { Tensor } from '../graph/tensor.js';
import { Module } from './module.js';

/**
 * max(x, 0).
 * @example
 * import { constant, ReLU } from 'mnv2-torch';
 * console.log([...(await new ReLU().call(constant([-1, 2])).data()).data]); // [ 0, 2 ]
 */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/**
 * min(max(x, 0), 6): bounded, so that low precision keeps its resolution (V2, section 4).
 * @example
 * import { constant, ReLU6 } from 'mnv2-torch';
 * console.log([...(await new ReLU6().call(constant([-1, 9])).data()).data]); // [ 0, 6 ]
 */
export class ReLU6 extends Module {
  forward(x: Tensor): Tensor {
    return relu6(x);
  }
}

/**
 * 1 / (1 + exp(-x)).
 * @example
 * import { constant, Sigmoid } from 'mnv2-torch';
 * console.log([...(await new Sigmoid().call(constant([0, 100])).data()).data]); // [ 0.5, 1 ]
 */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/**
 * relu6(x + 3) / 6: V3's sigmoid, without an exponential (section 5.2).
 * @example
 * import { constant, Hardsigmoid } from 'mnv2-torch';
 * console.log([...(await new Hardsigmoid().call(constant([-4, 0, 3])).data()).data]); // [ 0, 0.5, 1 ]
 */
export class Hardsigmoid extends Module {
  forward(x: Tensor): Tensor {
    return hardsigmoid(x);
  }
}

/**
 * x * relu6(x + 3) / 6 (V3, section 5.2).
 * @example
 * import { constant, Hardswish } from 'mnv2-torch';
 * console.log([...(await new Hardswish().call(constant([1.5, 4])).data()).data]); // [ 1.125, 4 ]
 */
export class Hardswish extends Module {
  forward(x: Tensor): Tensor {
    return hardswish(x);
  }
}

/**
 * x * sigmoid(x), also called swish (Ramachandran et al. 2017).
 * @example
 * import { constant, SiLU } from 'mnv2-torch';
 * console.log([...(await new SiLU().call(constant([0, 100])).data()).data]); // [ 0, 100 ]
 */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}
