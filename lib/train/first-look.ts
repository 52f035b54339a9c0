// What a training says of its data before it begins: the cheap part of an audit, and whether its figures will flatter.
import { countFindings, glance } from '../audit/finding.js';
import { flatters, nearest, orderShare, PLACES, unitVectors, type Vectors } from '../audit/neighbours.js';
import type { Dataset } from '../data/dataset.js';
import type { Split } from '../data/split.js';
import type { Engine } from '../engine/engine.js';
import type { FrozenFeatures } from './features.js';

/** Products that finding neighbours may take: well below a second on two cores. */
const MOST_WORK = 4e9;

/**
 * Sentences on the data. Neighbours are looked at where the frozen part's features are at hand and few enough.
 * @param trainView the view of training images that is cached: 0, or an augmented one
 */
export async function firstLook(
  data: Dataset,
  split: Split,
  features: FrozenFeatures | undefined,
  trainView: number,
  engine: Engine,
): Promise<string[]> {
  const { train, val } = split;
  if (data.task === 'regression') return [];
  const notes = await glances(data, split);
  if (!features || split.kind !== 'random' || data.task === 'multilabel') return notes;
  const candidates = await vectorsOf(features, train, trainView);
  if (!candidates) return notes;
  const most = Math.floor(MOST_WORK / (train.length * candidates.width));
  const step = Math.max(1, Math.ceil(val.length / Math.max(1, most)));
  const queries = await vectorsOf(
    features,
    val.filter((_, i) => i % step === 0),
    0,
  );
  const { own } = await nearest(engine, queries!, candidates, data.labels);
  const order = orderShare(data, queries!.rows, own, train);
  if (!flatters(order)) return notes;
  const percent = (share: number): string => `${Math.round(100 * share)}%`;
  notes.push(
    `a random split flatters here: for ${percent(order.share)} of the validation images the nearest training image of the class lies within ${PLACES} file numbers, ` +
      `where chance gives ${percent(order.chance)}; --split blocked validates on runs of file names instead`,
  );
  return notes;
}

/** What counting tells: sizes of classes, and pictures in two of them. */
async function glances(data: Dataset, { train, val, test }: Split): Promise<string[]> {
  if (data.task !== 'multilabel')
    return glance(data, [train, val, test], await data.duplicates?.()).map((finding) => finding.text);
  const { classes, targets } = data;
  const rows = [train, val, test].flatMap((part) => [...part]);
  const counts = classes.map((_, c) => rows.reduce((n, row) => n + targets![row * classes.length + c]!, 0));
  return countFindings(classes, counts).map((finding) => finding.text);
}

async function vectorsOf(features: FrozenFeatures, rows: Int32Array, view: number): Promise<Vectors | undefined> {
  const pooled = await features.pooled(rows, view);
  return pooled && unitVectors(rows, pooled.data, pooled.width);
}
