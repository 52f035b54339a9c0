// Splits a graph into what is the same in every epoch and what is trained. Owns no values.
import { topological } from './order.js';
import { Tensor } from './tensor.js';

/** A graph cut after the last node that is the same in every epoch. */
export interface Partition {
  /** values to compute once per image, by the input name the rest reads them under; empty when nothing is frozen */
  prefix: Record<string, Tensor>;
  /** the outputs over those inputs */
  suffix: Record<string, Tensor>;
}

/** Never the same twice, or changing something: must stay in the trained part. */
const restless = (t: Tensor): boolean => t.op === 'dropout' || (t.op === 'batchNorm2d' && t.attrs['training'] === true);

/**
 * Cuts after the last node that no trainable parameter, dropout or batch statistic precedes. Exact: the prefix depends
 * on the inputs alone.
 * @param outputs the whole graph, which must not contain gradients
 * @param trainable names of parameters that training changes
 * @param from only what depends on this input is worth keeping
 * @example
 * import { input, mul, parameter, relu, splitFrozen } from 'mnv2-torch';
 * const x = input('x', [-1, 2]);
 * const { prefix, suffix } = splitFrozen({ y: mul(relu(x), parameter('w', [2])) }, ['w'], 'x');
 * console.log(prefix['frozen.0'].op, suffix.y.inputs[0].op); // relu input
 */
export function splitFrozen(outputs: Record<string, Tensor>, trainable: readonly string[], from: string): Partition {
  const trained = new Set(trainable);
  const order = topological(Object.values(outputs));
  const fixed = new Set<Tensor>();
  const fed = new Set<Tensor>();
  for (const t of order) {
    const name = t.attrs['name'] as string;
    const still = t.op === 'input' ? name === from : t.op === 'parameter' ? !trained.has(name) : !restless(t);
    if (still && t.inputs.every((i) => fixed.has(i))) fixed.add(t);
    if ((t.op === 'input' && name === from) || t.inputs.some((i) => fed.has(i))) fed.add(t);
  }
  const inPrefix = (t: Tensor): boolean => fixed.has(t) && fed.has(t);
  /** Through module markers, which compute nothing, to the node itself. */
  const core = (t: Tensor): Tensor => (t.op === 'module' ? core(t.inputs[0]!) : t);

  const prefix: Record<string, Tensor> = {};
  const replaced = new Map<Tensor, Tensor>();
  const boundary = (t: Tensor): Tensor => {
    const node = core(t);
    if (node.op === 'input') return node; // nothing was computed: the input itself
    let stand = replaced.get(node);
    if (!stand) {
      const name = `frozen.${Object.keys(prefix).length}`;
      stand = new Tensor('input', [], { name }, node.shape, node.dtype, node.path);
      prefix[name] = node;
      replaced.set(node, stand);
    }
    return stand;
  };
  const rebuilt = new Map<Tensor, Tensor>();
  for (const t of order) {
    if (inPrefix(t)) continue;
    const inputs = t.inputs.map((i) => (inPrefix(i) ? boundary(i) : rebuilt.get(i)!));
    const same = inputs.every((input, i) => input === t.inputs[i]);
    rebuilt.set(t, same ? t : new Tensor(t.op, inputs, t.attrs, t.shape, t.dtype, t.path));
  }
  const suffix = Object.fromEntries(
    Object.entries(outputs).map(([name, t]) => [name, inPrefix(t) ? boundary(t) : rebuilt.get(t)!]),
  );
  return { prefix, suffix };
}
