// The order in which a graph's nodes can be visited.
import type { Tensor } from './tensor.js';

/** Nodes of a graph in an order where inputs come first. */
export function topological(outputs: readonly Tensor[]): Tensor[] {
  const seen = new Set<Tensor>();
  const order: Tensor[] = [];
  const stack: [Tensor, number][] = [];
  for (const output of outputs) {
    if (!seen.has(output)) stack.push([output, 0]);
    seen.add(output);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const next = top[0].inputs[top[1]++];
      if (!next) {
        order.push(top[0]);
        stack.pop();
      } else if (!seen.has(next)) {
        seen.add(next);
        stack.push([next, 0]);
      }
    }
  }
  return order;
}
