// Writes what is known before the first epoch (config.json, split.json) and a line an epoch (metrics.jsonl); a training
// that was not done leaves a last line that says why.
import { appendFile, rename, writeFile } from 'node:fs/promises';
import { DataError } from '../../errors.js';
import type { SplitFile } from '../../data/split-file.js';
import type { EpochEvent } from '../events.js';
import type { RunFolder } from '../run-folder.js';
import type { TrainingState } from '../state.js';
import type { Beginning, Ending, Hook } from './hook.js';

const line = (value: object): string => `${JSON.stringify(value)}\n`;
const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export class Log implements Hook {
  constructor(
    private readonly run: RunFolder,
    private readonly split: SplitFile,
  ) {}

  async began({ history }: TrainingState, { settings }: Beginning): Promise<void> {
    await this.#write('config.json', json(settings));
    await this.#write('split.json', json(this.split));
    // A run that goes on has lines already; those of epochs that were not saved go, they are trained again.
    await this.#write('metrics.jsonl', history.map(line).join(''));
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

  async #append(entry: object): Promise<void> {
    const file = this.run.file('metrics.jsonl');
    await appendFile(file, line(entry)).catch(unwritable(file));
  }
  async #write(name: string, text: string): Promise<void> {
    const [file, temporary] = [this.run.file(name), this.run.file(`.${name}.tmp`)];
    await writeFile(temporary, text)
      .then(() => rename(temporary, file))
      .catch(unwritable(file));
  }
}

const unwritable =
  (file: string) =>
  (cause: Error): never => {
    throw new DataError(`cannot write ${file}: ${cause.message}`, [file], { cause });
  };
