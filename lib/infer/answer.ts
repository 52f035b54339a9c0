// What is asked of pictures and what is answered: the one place where a network's scores become answers.
import type { DecodeOptions } from '../data/decode.js';
import type { ImageInput } from '../data/image-input.js';
import type { DataError } from '../errors.js';
import type { LearnedTask } from '../weights/task.js';
import type { TestTimeAugmentation } from './views.js';

/** A class an image may belong to. */
export interface Prediction {
  /** name of the class */
  label: string;
  /** 0 to 1; of one class of several all classes sum to 1 */
  probability: number;
  /** several labels: it is at least the label's threshold, which the checkpoint keeps; else absent */
  given?: boolean;
  /** where `tta` was asked for: the mean of the probabilities over the views; the order is that of the plain ones */
  tta?: number;
}

/** Why an image of several has no answer. */
export interface Unread {
  readonly ok: false;
  readonly error: DataError;
}
/** The answer for one of several images: the most probable classes, best first, or why it could not be read. */
export type Classified = { readonly ok: true; readonly predictions: Prediction[] } | Unread;
/** What a network of numbers says of an image, by their names, each in its own unit. */
export interface Measurement {
  numbers: Record<string, number>;
  /** where `tta` was asked for: the mean of the numbers over the views */
  tta?: Record<string, number>;
}
/** The numbers of one of several images, or why it could not be read. */
export type Measured = ({ readonly ok: true } & Measurement) | Unread;
/** The vector of one of several images, or why it could not be read. */
export type Embedded = { readonly ok: true; readonly embedding: Float32Array } | Unread;

/** What a stream is made of: images, or objects that carry one along with whatever else. */
export type StreamItem = ImageInput | { readonly image: ImageInput };
/** An answer with the item it is for, and the item's number in the stream. */
export type Streamed<T, A> = A & { readonly item: T; readonly index: number };

/** How an image is read, and when nobody waits for its answer any more. */
export interface AskOptions extends DecodeOptions {
  /** aborted, the call rejects with its reason at once: before the image is read, while it waits, and while it is looked at */
  signal?: AbortSignal;
}

/** What is asked of each image that numbers are told of. */
export interface MeasureOptions extends AskOptions {
  /** answers for these views of the picture too, averaged: `tta` of each answer */
  tta?: TestTimeAugmentation;
}

/** What is asked of each image. */
export interface ClassifyOptions extends MeasureOptions {
  /** most probable classes to give (default 5) */
  topK?: number;
}

/** Which vector of each image. */
export interface EmbeddingOptions extends AskOptions {
  /** whose output, by its dotted name ('features.3'), row-major (default: what the head reads, the means of the last feature map) */
  module?: string;
  /** divides each vector by its length, so that a dot product is the cosine (default false) */
  normalize?: boolean;
}

/** Where on a picture a classifier sees a class. */
export interface Explanation extends Prediction {
  /** row-major [height, width], in logits: positive places speak for the class, negative ones against it */
  readonly values: Float32Array;
  /** of the network's last feature map: a cell covers the same share of the picture, as it was, not as a square */
  readonly height: number;
  readonly width: number;
  /** the head is linear (V1, V2): the mean of the values and a bias are the logit; otherwise (V3) to first order */
  readonly exact: boolean;
}

/** What is asked about a picture. */
export interface ExplainOptions extends AskOptions {
  /** name of the class asked about (default: the one predicted) */
  label?: string;
}

/** Scores of a picture as it is, and their mean over its views. */
export interface Scores {
  readonly plain: Float32Array;
  readonly mean: Float32Array | undefined;
}

/** The answer that scores are. */
export function predictionsOf(
  { plain, mean }: Scores,
  classes: readonly string[],
  topK: number,
  task: LearnedTask,
): Prediction[] {
  const order = [...plain.keys()].sort((a, b) => plain[b]! - plain[a]!);
  return order.slice(0, topK).map((c) => ({
    label: classes[c]!,
    probability: plain[c]!,
    ...(task.kind === 'multilabel' && { given: plain[c]! >= task.thresholds[c]! }),
    ...(mean && { tta: mean[c]! }),
  }));
}

/** The numbers that scores are, by their names. */
export const numbersOf = (scores: Float32Array, names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name, c) => [name, scores[c]!]));

/** A vector of length 1 in the same direction; one of zeros stays. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, v) => sum + v * v, 0));
  return length === 0 ? vector : vector.map((v) => v / length);
}
