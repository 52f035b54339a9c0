// Networks at low precision, by rewriting what was recorded: 8-bit weights and activations from the first step of a training,
// or put on trained weights afterwards. Everything is simulated in float32 (fakeQuantize); gradients and sums are not rounded.
import { add, constant, div, fakeQuantize, max, min, mul, relu, reshape, sub } from '../../dist/index.js';
import { rebuilt, remade } from '../../dist/graph/rebuild.js';

const NONE = constant([0]);
const ONE = constant([1]);
const TINY = constant([1e-8]);
const WEIGHTS = { qmin: -127, qmax: 127 };
const ACTIVATIONS = { qmin: 0, qmax: 255 };
const CONVOLUTIONS = new Set(['conv2d', 'depthwiseConv2d', 'linear']);
const CLAMPS = new Set(['relu', 'relu6']);

const one = (x) => reshape(x, [1]);
const negative = (x) => mul(x, constant([-1]));
/** max(a, b) of [1]. */
const larger = (a, b) => add(b, relu(sub(a, b)));

/** Symmetric, one scale: the tensor's own range now. */
function roundedWeight(w) {
  const range = larger(one(max(w)), negative(one(min(w))));
  return fakeQuantize(w, add(div(range, constant([127])), TINY), NONE, WEIGHTS);
}

/** Asymmetric, one scale: the range of this batch. */
function roundedToBatch(x) {
  const low = negative(relu(negative(one(min(x)))));
  const high = relu(one(max(x)));
  const scale = add(div(sub(high, low), constant([255])), TINY);
  const zero = fakeQuantize(div(negative(low), scale), ONE, NONE, ACTIVATIONS); // to a whole number
  return fakeQuantize(x, scale, zero, ACTIVATIONS);
}

/** Module marks compute nothing. */
const core = (t) => (t.op === 'module' ? core(t.inputs[0]) : t);

/**
 * The values an 8-bit network keeps: what is behind an activation, behind a BatchNorm without one, and sums. `each` sees
 * them, inputs first, and gives what takes their place.
 */
function rewritten(output, weight, each) {
  const clamped = new Set();
  rebuilt(output, (t, inputs) => {
    if (CLAMPS.has(t.op)) clamped.add(core(t.inputs[0]));
    return remade(t, inputs);
  });
  return rebuilt(output, (t, inputs) => {
    if (CONVOLUTIONS.has(t.op)) {
      const [x, w, ...rest] = inputs;
      return remade(t, [x, weight(w), ...rest]);
    }
    const made = remade(t, inputs);
    const kept = CLAMPS.has(t.op) || t.op === 'add' || (t.op === 'batchNorm2d' && !clamped.has(t));
    return kept ? each(made, t) : made;
  });
}

/** The model itself, which records 8-bit weights and activations from now on: one scale a tensor, the ranges of the batch. */
export function atLowPrecision(model) {
  const forward = model.forward.bind(model);
  model.forward = (x) => rewritten(forward(roundedToBatch(x)), roundedWeight, roundedToBatch);
  return model;
}

/** The values that post-training rounding needs the ranges of, as outputs `0`, `1`, ... of a graph in evaluation mode. */
export function observed(logits) {
  const seen = [];
  rewritten(
    logits,
    (w) => w,
    (t) => (seen.push(t), t),
  );
  return Object.fromEntries(
    seen.flatMap((t, i) => [
      [`${i} low`, min(t, { dims: t.shape.slice(1).map((_, d) => d + 1) })],
      [`${i} high`, max(t, { dims: t.shape.slice(1).map((_, d) => d + 1) })],
    ]),
  );
}

/** The graph with activations rounded to these ranges, [low, high] each. Weights are rounded by their values. */
export function withRoundedActivations(logits, ranges) {
  let at = 0;
  return rewritten(
    logits,
    (w) => w,
    (t) => {
      const [low, high] = ranges[at++];
      const scale = Math.max((Math.max(high, 0) - Math.min(low, 0)) / 255, 1e-8);
      return fakeQuantize(t, constant([scale]), constant([Math.round(-Math.min(low, 0) / scale)]), ACTIVATIONS);
    },
  );
}
