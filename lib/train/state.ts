// Where a training is: steps and epochs taken, what each epoch gave, and copies of the weights worth keeping. Owns no
// files; hooks/checkpoint.ts writes what it holds.
import type { TensorData } from '../native/wire.js';
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import { firstNotFinite } from '../weights/load.js';
import type { Sums } from './epoch.js';
import type { EpochEvent } from './events.js';

/** The weights at one moment. Only what training changes is copied: the frozen rest is the same at all of them. */
export interface Snapshot {
  readonly tensors: ReadonlyMap<string, TensorData>;
  /** whole epochs before it */
  readonly epoch: number;
  /** optimizer steps before it */
  readonly step: number;
}

/** The epoch with the highest validation accuracy; the earlier one of two equals. */
export interface Best extends Snapshot {
  readonly accuracy: number;
  readonly loss: number;
}

/** Where a training is, without a tensor: with the tensors, another process goes on from here. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
  /** of the epoch under way, as far as it has been trained */
  readonly pass: Sums | undefined;
  readonly history: readonly EpochEvent[];
  readonly best: Omit<Best, 'tensors'> | undefined;
}

/** Names of what a step may change: parameters that are trained, running statistics of what is not frozen. */
export function changing(model: Module): string[] {
  return [...model.modules()].flatMap(([path, module]) =>
    [...module.ownParameters()]
      .filter(([, p]) => p.requiresGrad || (p.kind === 'buffer' && !module.frozen))
      .map(([name]) => (path ? `${path}.${name}` : name)),
  );
}

const finite = ({ data, dtype }: TensorData): boolean => dtype === 'int64' || firstNotFinite(data as Float32Array) < 0;

export class TrainingState {
  /** whole epochs taken */
  epoch = 0;
  /** optimizer steps taken */
  step = 0;
  /** how much of the epoch under way is trained; undefined between epochs */
  pass: Sums | undefined;
  readonly history: EpochEvent[] = [];
  best: Best | undefined;
  /** the newest copy without a number that is not finite; undefined before the first */
  last: Snapshot | undefined;
  readonly #changing: readonly string[];
  #fixed: ReadonlyMap<string, TensorData> | undefined;

  constructor(
    readonly weights: Weights,
    model: Module,
  ) {
    this.#changing = changing(model);
  }

  /** Copies the weights as they are now into `last`, unless they hold a number that is not finite. */
  async keep(): Promise<Snapshot | undefined> {
    if (this.last?.step === this.step && this.last.epoch === this.epoch) return this.last;
    const tensors = await this.weights.get(this.#changing);
    if (![...tensors.values()].every(finite)) return undefined;
    return (this.last = { tensors, epoch: this.epoch, step: this.step });
  }

  /** Counts an epoch that ended; its weights are the best so far where no earlier accuracy is as high. */
  async ended(event: EpochEvent): Promise<void> {
    this.epoch = event.epoch;
    this.pass = undefined;
    this.history.push(event);
    const snapshot = await this.keep();
    const { accuracy, loss } = event.valid;
    if (snapshot && !(this.best && this.best.accuracy >= accuracy)) this.best = { ...snapshot, accuracy, loss };
  }

  get position(): Position {
    const { epoch, step, pass, history } = this;
    if (!this.best) return { epoch, step, pass, history, best: undefined };
    const { tensors: _, ...best } = this.best;
    return { epoch, step, pass, history, best };
  }

  /** Takes the place of a training that was interrupted there; the weights are on the device already. */
  goOn({ epoch, step, pass, history, best }: Position, tensorsOfBest: ReadonlyMap<string, TensorData>): void {
    [this.epoch, this.step, this.pass] = [epoch, step, pass];
    this.history.push(...history);
    this.best = best && { ...best, tensors: tensorsOfBest };
  }

  /** All tensors of a snapshot, in the model's order. */
  async whole({ tensors }: Snapshot): Promise<Map<string, TensorData>> {
    const fixed = await this.readFixed();
    return new Map(this.weights.names().map((n) => [n, (tensors.get(n) ?? fixed.get(n))!]));
  }

  /** What training does not change, copied once. */
  async readFixed(): Promise<ReadonlyMap<string, TensorData>> {
    const changing = new Set(this.#changing);
    return (this.#fixed ??= await this.weights.get(this.weights.names().filter((n) => !changing.has(n))));
  }

  /** Puts a snapshot's values back. */
  async restore({ tensors }: Snapshot): Promise<void> {
    await this.weights.set([...tensors].map(([name, value]) => ({ name, ...value })));
  }
}
