// The run folder: config.json, split.json, metrics.jsonl, best.safetensors, last.safetensors. Owns file names and when
// they are written.
import { constants, existsSync } from 'node:fs';
import { access, appendFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.js';
import { native } from '../native/load.js';
import type { TensorData } from '../native/wire.js';
import type { Dataset, Split } from '../data/dataset.js';
import { splitToJSON } from '../data/dataset.js';
import type { Module } from '../nn/module.js';
import type { Weights } from '../engine/weights.js';
import { checkpointMetadata, saveCheckpoint } from '../weights/checkpoint.js';
import type { TrainEvent } from './events.js';
import type { ResolvedTrainer } from './recipe.js';

/** Checkpoints of a quick run are written once at its end, of a long one at most this often: writing takes time too. */
const SAVE_EVERY_MS = 20_000;

export class Run {
  #best: { tensors: Map<string, TensorData>; epoch: number; accuracy: number } | undefined;
  #saved = performance.now();

  private constructor(
    readonly folder: string | null,
    private readonly model: Module,
    private readonly classes: readonly string[],
    private readonly options: ResolvedTrainer,
  ) {}

  /** Refuses a folder that holds a run: nothing there is ever overwritten. */
  static async check(out: string | undefined): Promise<void> {
    if (!out) return;
    const refuse =
      (folder: string) =>
      (e: NodeJS.ErrnoException): never => {
        throw new UsageError(
          `--out ${out}: ${folder} ${e.code === 'ENOTDIR' ? 'is a file' : `cannot be written to (${e.code})`}; choose another folder`,
        );
      };
    let folder = path.resolve(out);
    if (existsSync(folder)) {
      const files = await readdir(folder).catch(refuse(folder));
      if (files.some((f) => f === 'config.json' || f.endsWith('.safetensors'))) {
        throw new UsageError(`--out ${out}: a run is already there; choose another folder, nothing was changed`);
      }
    }
    // Made when the first epoch begins: a run that is refused leaves nothing behind.
    while (!existsSync(folder)) folder = path.dirname(folder);
    await access(folder, constants.W_OK).catch(refuse(folder));
  }

  /** Writes what is known before the first epoch. */
  static async create(options: ResolvedTrainer, model: Module, data: Dataset, split: Split): Promise<Run> {
    const { out, weights, signal, config, ...settings } = options;
    void signal;
    const run = new Run(out ?? null, model, data.classes, options);
    if (!out) return run;
    await mkdir(out, { recursive: true });
    const { package: version, libtorch } = native().buildInfo();
    const versions = { 'mnv2-torch': version, node: process.versions.node, libtorch };
    const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
    await writeFile(
      path.join(out, 'config.json'),
      json({ ...config, ...settings, weights: weights?.file ?? null, classes: data.classes, versions }),
    );
    await writeFile(path.join(out, 'split.json'), json(splitToJSON(data, split)));
    await writeFile(path.join(out, 'metrics.jsonl'), '');
    return run;
  }

  path(which: 'best' | 'last'): string {
    return path.join(this.folder!, `${which}.safetensors`);
  }

  async log(event: TrainEvent): Promise<void> {
    if (this.folder) await appendFile(path.join(this.folder, 'metrics.jsonl'), `${JSON.stringify(event)}\n`);
  }

  /** Remembers these weights as the best; writes them when the last writing is a while ago. */
  async keepBest(weights: Weights, epoch: number, accuracy: number): Promise<void> {
    if (!this.folder) return;
    this.#best = { tensors: await weights.get(), epoch, accuracy };
    if (performance.now() - this.#saved > SAVE_EVERY_MS) await this.#saveBest();
  }

  async #saveBest(): Promise<void> {
    if (this.#best)
      await this.#save('best', this.#best.tensors, {
        epoch: String(this.#best.epoch),
        accuracy: String(this.#best.accuracy),
      });
    this.#saved = performance.now();
  }

  async #save(which: 'best' | 'last', tensors: Map<string, TensorData>, extra: Record<string, string>): Promise<void> {
    await saveCheckpoint(
      this.path(which),
      tensors,
      checkpointMetadata(this.model, this.classes, this.options.preprocess, extra),
    );
  }

  /** Writes best and last. */
  async finish(weights: Weights): Promise<void> {
    if (!this.folder) return;
    await this.#saveBest();
    await this.#save('last', await weights.get(), {});
  }
}
