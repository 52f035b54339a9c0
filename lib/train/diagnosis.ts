// Where a loss that is not finite comes from: every module's output over the batch that gave it is looked at once more.
import { compile, type LoopOptions } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { cast, mul, sum } from '../graph/ops.js';
import { topological } from '../graph/order.js';
import { constant, type Tensor } from '../graph/tensor.js';

/**
 * The path of the first module whose output over a batch holds a number that is not finite; undefined where none does.
 * @param graph the training graph's outputs
 */
export async function firstNotFinite(
  graph: Record<string, Tensor>,
  options: { weights: Weights; precision: 'fp32' | 'bf16' },
  batch: LoopOptions,
): Promise<string | undefined> {
  const modules = topological(Object.values(graph)).filter((t) => t.op === 'module' && t.attrs['module'] !== '');
  // Zero times a number is zero unless the number is not finite: one scalar a module says it all.
  const zeros = modules.map((t): [string, Tensor] => [
    `${t.attrs['module'] as string}:finite`,
    sum(mul(cast(t, 'float32'), constant(0))),
  ]);
  if (zeros.length === 0) return undefined;
  using program = compile(Object.fromEntries(zeros), options);
  const stack = zeros.map(([name]) => name);
  const result = await program.loop({ ...batch, stack });
  const first = stack.findIndex((name) => !Number.isFinite(result.stack[name]![0]));
  return first < 0 ? undefined : (modules[first]!.attrs['module'] as string);
}
