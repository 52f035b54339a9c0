// Where a training is: steps and epochs taken, what each epoch gave, and copies of the weights worth keeping. Owns no
// files; hooks/checkpoint.ts writes what it holds.
import type { TensorData } from '../native/wire.js';
import type { NamedTensors } from '../engine/state.js';
import type { Weights } from '../engine/weights.js';
import type { Module } from '../nn/module.js';
import type { LearnedTask } from '../weights/task.js';
import { firstNotFinite } from '../weights/load.js';
import type { Sums } from './epoch.js';
import type { EpochEvent } from './events.js';
import type { BestBy } from './settings.js';

/** The weights at one moment. Only what training changes is copied: the frozen rest is the same at all of them. */
export interface Snapshot {
  readonly tensors: ReadonlyMap<string, TensorData>;
  /** whole epochs before it */
  readonly epoch: number;
  /** optimizer steps before it */
  readonly step: number;
  /** of several labels: the thresholds of the highest F1 on the images validated last */
  readonly thresholds?: readonly number[] | undefined;
}

/** The epoch that validated best by the recipe's `bestBy`; the earlier one of two equals. */
export interface Best extends Snapshot {
  readonly accuracy: number;
  readonly loss: number;
  readonly macroF1: number;
  readonly mAP?: number;
  readonly mae?: number;
  readonly r2?: number;
}

/** Whether an epoch is better than the best so far. */
function isBetter(by: BestBy, now: Omit<Best, keyof Snapshot>, than: Omit<Best, keyof Snapshot>): boolean {
  return by === 'loss' || by === 'mae' ? now[by]! < than[by]! : now[by]! > than[by]!;
}

/** Where a training is, without a tensor: with the tensors, another process goes on from here. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
  /** of the epoch under way, as far as it has been trained */
  readonly pass: Sums | undefined;
  readonly history: readonly EpochEvent[];
  readonly best: Omit<Best, 'tensors'> | undefined;
  readonly thresholds?: readonly number[] | undefined;
  readonly task?: LearnedTask | undefined;
  /** since the training began, over all processes */
  readonly seconds: number;
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

/** Where a training is, as hooks see it. */
export class TrainingState {
  /** whole epochs taken */
  epoch = 0;
  /** optimizer steps taken */
  step = 0;
  /** how much of the epoch under way is trained; undefined between epochs */
  pass: Sums | undefined;
  readonly history: EpochEvent[] = [];
  best: Best | undefined;
  /** of several labels: those that the newest validation chose; undefined before it */
  thresholds: readonly number[] | undefined;
  /** what the outputs mean, as the images that are trained on say; undefined before they are known */
  task: LearnedTask | undefined;
  /** the newest copy without a number that is not finite; undefined before the first */
  last: Snapshot | undefined;
  readonly #changing: readonly string[];
  #fixed: ReadonlyMap<string, TensorData> | undefined;
  #averages: { state: NamedTensors; names: readonly string[] } | undefined;
  #before = 0;

  constructor(
    readonly weights: Weights,
    /** names of what training changes: see `changing` */
    changing: readonly string[],
    private readonly bestBy: BestBy,
    /** when this process began, as performance.now() says */
    private readonly started: number,
  ) {
    this.#changing = changing;
  }

  /** Snapshots are of running averages from now on: `ema.<name>` of a program's state. */
  average(state: NamedTensors, names: readonly string[]): void {
    this.#averages = names.length > 0 ? { state, names } : undefined;
  }

  /** Seconds since the training began, over all processes. */
  get seconds(): number {
    return this.#before + (performance.now() - this.started) / 1000;
  }

  /** Whether every number that training changes is finite. */
  async isFinite(): Promise<boolean> {
    return [...(await this.weights.get(this.#changing)).values()].every(finite);
  }

  /** Copies the weights, or their average, as they are now into `last`, unless they hold a number that is not finite. */
  async keep(): Promise<Snapshot | undefined> {
    if (this.last?.step === this.step && this.last.epoch === this.epoch) return this.last;
    const tensors = await this.weights.get(this.#changing);
    if (![...tensors.values()].every(finite)) return undefined;
    for (const [name, value] of await this.#averaged()) tensors.set(name, value);
    if (![...tensors.values()].every(finite)) return undefined;
    return (this.last = { tensors, epoch: this.epoch, step: this.step, thresholds: this.thresholds });
  }

  /** Averages by the names of what is averaged; none before the first update, which they begin with. */
  async #averaged(): Promise<[string, TensorData][]> {
    if (!this.#averages) return [];
    const { state, names } = this.#averages;
    const values = await state.get([...names.map((name) => `ema.${name}`), 'optimizer.updates']);
    if (values.get('optimizer.updates')!.data[0] === 0n) return [];
    return names.map((name) => [name, values.get(`ema.${name}`)!]);
  }

  /**
   * Counts an epoch that ended; its weights are the best so far where no earlier ones are as good.
   * @param told of its weights, what else is to be known of the epoch
   */
  async ended(epoch: EpochEvent, told: (snapshot: Snapshot) => Promise<Partial<EpochEvent>>): Promise<EpochEvent> {
    this.epoch = epoch.epoch;
    this.pass = undefined;
    const snapshot = await this.keep();
    const event = { ...epoch, ...(snapshot && (await told(snapshot))) };
    this.history.push(event);
    const { seconds: _, steps: _steps, imagesPerSecond: _rate, ...valid } = event.valid;
    if (snapshot && (!this.best || isBetter(this.bestBy, valid, this.best))) this.best = { ...snapshot, ...valid };
    return event;
  }

  /** Where it is, without the tensors. */
  get position(): Position {
    const { epoch, step, pass, history, thresholds, seconds } = this;
    const { tensors: _, ...best } = this.best ?? { tensors: undefined };
    const position = { epoch, step, pass, history, best: this.best && (best as Omit<Best, 'tensors'>), seconds };
    const known = this.task && this.task.kind !== 'multiclass' && { task: this.task };
    return { ...position, ...(thresholds && { thresholds }), ...known };
  }

  /** Takes the place of a training that was interrupted there; the weights are on the device already. */
  goOn(position: Position, tensorsOfBest: ReadonlyMap<string, TensorData>): void {
    const { epoch, step, pass, history, best, thresholds, task, seconds } = position;
    [this.epoch, this.step, this.pass] = [epoch, step, pass];
    [this.thresholds, this.task] = [thresholds, task];
    this.history.push(...history);
    this.#before = seconds;
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
