// What a report shows: plain values, whoever gathered them.
import type { AnyEvaluation } from '../../infer/evaluation.js';
import type { Task } from '../../weights/task.js';
import type { EpochEvent } from '../../train/events.js';

/** A key figure: its name, its value, and a word on it. */
export type Figure = [name: string, value: string, note: string];

/** One use of the images: how many of each class. */
export interface Part {
  readonly name: string;
  readonly images: number;
  /** by class: its images; none of numbers */
  readonly counts: readonly number[];
}

/** A picture as a data: URL, and the same with its activation map over it where the network has one. */
export interface Shown {
  readonly plain: string;
  readonly explained?: string;
}

export interface Pictures {
  /** small ones, by row */
  readonly thumbnails: ReadonlyMap<number, string>;
  /** larger ones of the worst mistakes, by row */
  readonly large: ReadonlyMap<number, Shown>;
  /** the network's maps are exact (a linear head); undefined where there are none */
  readonly exact: boolean | undefined;
}

export interface Report {
  /** the run's or the checkpoint's name */
  readonly title: string;
  /** what was done, on what: a line */
  readonly subtitle: string;
  readonly task: Task;
  readonly classes: readonly string[];
  /** by row */
  readonly files: readonly string[];
  /** a training's epochs so far, how many there will be, and the one whose weights are kept */
  readonly training?: {
    readonly history: readonly EpochEvent[];
    readonly epochs: number;
    readonly best: number | undefined;
    readonly state: 'running' | 'done' | 'stopped' | 'failed' | 'diverged';
  };
  readonly parts: readonly Part[];
  /** absent before the first epoch ended */
  readonly evaluation?: AnyEvaluation;
  /** the images judged, in words: 'validation images after epoch 6' */
  readonly judgedOn: string;
  readonly pictures: Pictures;
  /** what took how long: a name, seconds, and more in words */
  readonly timings: readonly { readonly what: string; readonly seconds: number; readonly note?: string }[];
  /** in the order shown */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** of the data: classes, files, labels and pixels */
  readonly fingerprint: string;
  /** what a reader should know, a sentence each */
  readonly notes: readonly string[];
  readonly written: Date;
}
