// Writes what is known before the first epoch (config.json, split.json) and a line an epoch (metrics.jsonl); a training
// that was not done leaves a last line that says why.
import { appendFile, writeFile } from 'node:fs/promises';
import { DataError } from '../../errors.js';
import type { SplitFile } from '../../data/split-file.js';
import type { EpochEvent } from '../events.js';
import type { RunFolder } from '../run-folder.js';
import type { TrainingState } from '../state.js';
import type { Beginning, Ending, Hook } from './hook.js';

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export class Log implements Hook {
  constructor(
    private readonly run: RunFolder,
    private readonly split: SplitFile,
  ) {}

  async began(_state: TrainingState, { settings }: Beginning): Promise<void> {
    await this.#write('config.json', json(settings));
    await this.#write('split.json', json(this.split));
    await this.#write('metrics.jsonl', '');
  }
  async epochEnded(_state: TrainingState, event: EpochEvent): Promise<void> {
    await this.#append(event);
  }
  async ended(state: TrainingState, ending: Ending): Promise<void> {
    if (ending.how === 'done') return;
    const { epoch, step } = state;
    const why = 'error' in ending ? { error: ending.error.message } : {};
    await this.#append({ event: ending.how, epoch, step, ...why });
  }

  async #append(line: object): Promise<void> {
    const file = this.run.file('metrics.jsonl');
    await appendFile(file, `${JSON.stringify(line)}\n`).catch(unwritable(file));
  }
  async #write(name: string, text: string): Promise<void> {
    await writeFile(this.run.file(name), text).catch(unwritable(this.run.file(name)));
  }
}

const unwritable =
  (file: string) =>
  (cause: Error): never => {
    throw new DataError(`cannot write ${file}: ${cause.message}`, [file], { cause });
  };
