// A graph recorded once and looked at another way: with some of its tensors replaced.
import { topological } from './order.js';
import { Tensor } from './tensor.js';

/** `t` with other inputs, or other attributes too; itself where nothing differs. */
export function remade(t: Tensor, inputs: readonly Tensor[], attrs = t.attrs): Tensor {
  const same = attrs === t.attrs && inputs.every((input, n) => input === t.inputs[n]);
  return same ? t : new Tensor(t.op, inputs, attrs, t.shape, t.dtype, t.path);
}

/**
 * The same graph with tensors replaced.
 * @param by sees every tensor with its new inputs, inputs first, and gives what takes its place
 */
export function rebuilt(output: Tensor, by: (t: Tensor, inputs: readonly Tensor[]) => Tensor): Tensor {
  const made = new Map<Tensor, Tensor>();
  for (const t of topological([output])) {
    const inputs = t.inputs.map((i) => made.get(i)!);
    made.set(t, by(t, inputs));
  }
  return made.get(output)!;
}
