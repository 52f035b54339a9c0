// Bars and lines for a person watching, on stderr. Owns their form; what to show comes as events.
import type { EpochEvent, TrainEvent, ValidPhase } from '../train/events.js';
import { MEASURES } from '../train/measures.js';
import type { Task } from '../weights/task.js';

const PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** 63 -> '01:03', 3700 -> '1:01:40'. */
export function clock(seconds: number): string {
  const s = Math.round(seconds);
  const two = (v: number): string => String(v).padStart(2, '0');
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${two(m)}:${two(s % 60)}`;
}

/** What a bar counts: steps, or bytes, told in units of 2^20. */
export type BarUnit = 'it' | 'MiB';

/** `label: 63%|█████▎   | 58/91 [00:24<00:14, 2.37it/s]`, tqdm's form, as wide as the terminal allows. */
export function barLine(
  label: string,
  done: number,
  total: number,
  seconds: number,
  width: number,
  unit: BarUnit = 'it',
): string {
  const share = total > 0 ? Math.min(done / total, 1) : 1;
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? clock((total - done) / rate) : '?';
  const [count, said] = unit === 'it' ? [String, rate] : [(n: number) => (n / 2 ** 20).toFixed(1), rate / 2 ** 20];
  const slow = unit === 'it' && rate > 0 && rate < 1;
  const speed = slow ? `${(1 / rate).toFixed(2)}s/it` : `${said.toFixed(2)}${unit}/s`;
  const before = `${label}: ${String(Math.floor(share * 100)).padStart(3)}%|`;
  const after = `| ${count(done)}/${count(total)} [${clock(seconds)}<${left}, ${speed}]`;
  const room = Math.max(4, Math.min(30, width - before.length - after.length - 1));
  const eighths = Math.round(share * room * 8);
  const bar = '█'.repeat(Math.floor(eighths / 8)) + PARTS[eighths % 8];
  return before + bar.padEnd(room) + after;
}

/** Draws into one line of a terminal; writes whole lines where there is none. */
export class Progress {
  #open = false;
  #drawn = 0;

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  /** A bar under way. Without a terminal only finished bars are written. */
  draw(label: string, done: number, total: number, seconds: number, unit?: BarUnit): void {
    const finished = done >= total;
    if (!this.stream.isTTY) {
      if (finished) this.stream.write(`${barLine(label, done, total, seconds, 100, unit)}\n`);
      return;
    }
    const now = performance.now();
    if (!finished && this.#open && now - this.#drawn < 50) return;
    this.#drawn = now;
    this.stream.write(
      `\r\x1b[2K${barLine(label, done, total, seconds, this.stream.columns || 100, unit)}${finished ? '\n' : ''}`,
    );
    this.#open = !finished;
  }
  /** Takes a bar under way away: what is written next begins where it stood, and it is drawn again later. */
  clear(): void {
    if (this.#open) this.stream.write('\r\x1b[2K');
    this.#open = false;
  }
  /** A line of text, below a bar that was left unfinished. */
  line(text: string): void {
    this.leave();
    this.stream.write(`${text}\n`);
  }
  /** What is written next begins a line, although the bar is not finished. */
  leave(): void {
    if (this.#open) this.stream.write('\n');
    this.#open = false;
  }
}

const count = (n: number): string => n.toLocaleString('en-US');
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

type Where = Pick<EpochEvent, 'epoch' | 'epochs'>;
/** What a task counts its outputs as. */
const WHAT: Readonly<Record<Task, string>> = { multiclass: 'classes', multilabel: 'labels', regression: 'numbers' };

/** Follows a training: one `train` and one `valid` line an epoch in the reference's form. */
export function showTraining(progress: Progress): (event: TrainEvent) => void {
  let task: Task = 'multiclass';
  const figures = (phase: string, { epoch, epochs }: Where, of: Partial<ValidPhase>): string => {
    // All that there is; of one class of several, and while a pass runs, the one that is known in training too.
    const shown = MEASURES[task].filter((m) => m.running || (task !== 'multiclass' && of[m.key] !== undefined));
    const words = shown.map((m) => `, ${m.short}:${m.share ? of[m.key]!.toFixed(3) : m.text(of[m.key]!)}`);
    return `${phase} epoch[${epoch}/${epochs}] loss:${of.loss!.toFixed(3)}${words.join('')}`;
  };
  return (event) => {
    switch (event.event) {
      case 'start':
        progress.line(
          `${event.device}, ${event.precision}: ${count(event.parameters)} parameters, ${count(event.trainable)} trainable`,
        );
        for (const note of event.notes) progress.line(note);
        break;
      case 'data':
        task = event.task ?? 'multiclass';
        progress.line(
          `${event.classes} ${WHAT[task]}: ${count(event.images.train)} images to train on, ${count(event.images.valid)} to validate${event.images.test ? `, ${count(event.images.test)} to test` : ''}`,
        );
        for (const note of event.notes) progress.line(note);
        if (event.damaged.length > 0)
          progress.line(`kept ${event.damaged.length} damaged files: ${event.damaged.join(', ')}`);
        if (event.skipped.length > 0)
          progress.line(`skipped ${event.skipped.length} unreadable files: ${event.skipped.join(', ')}`);
        break;
      case 'cached':
        progress.line(
          `frozen part computed once: ${count(event.images)} images, ${megabytes(event.bytes)} kept, ${event.seconds.toFixed(1)} s`,
        );
        break;
      case 'progress':
        if (!('epoch' in event)) {
          if (event.note !== undefined) progress.line(event.note);
          progress.draw(
            event.phase === 'pack' ? 'decode images' : 'frozen features',
            event.done,
            event.total,
            event.seconds,
          );
        } else if (event.done < event.total)
          // The finished bar comes with the epoch's own figures, which count every image.
          progress.draw(figures(event.phase, event, event), event.done, event.total, event.seconds);
        break;
      case 'epoch':
        for (const phase of ['train', 'valid'] as const) {
          const { seconds, steps } = event[phase];
          progress.draw(figures(phase, event, event[phase]), steps, steps, seconds);
        }
        break;
      default:
    }
  };
}
