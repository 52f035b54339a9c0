// A quantisation as a page of text: sizes, what was lost, where.
import type { AnyEvaluation } from '../infer/evaluation.js';
import type { LayerNoise } from '../quant/noise.js';

/** What came of a quantisation. */
export interface QuantisationReport {
  readonly file: string;
  readonly bytes: number;
  readonly from: { readonly file: string; readonly bytes: number };
  /** images */
  readonly calibratedOn: number;
  readonly method: string;
  readonly perTensor: boolean;
  readonly equalize: boolean;
  readonly biasCorrect: boolean;
  readonly qatEpochs: number;
  /** the images both were judged on, and how they did; absent where there were none with labels */
  readonly judgedOn?: string;
  readonly before?: AnyEvaluation;
  readonly after?: AnyEvaluation;
  /** from the noisiest to the cleanest */
  readonly layers: readonly LayerNoise[];
  readonly notes: readonly string[];
}

/** Layers shown. */
const SHOWN = 5;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;

/** The figure a task is told by, of both: name, values and what lies between. */
function compared(before: AnyEvaluation, after: AnyEvaluation): string {
  const points = (a: number, b: number): string =>
    `${percent(a)} float, ${percent(b)} int8 (${b < a ? '-' : '+'}${Math.abs(100 * (b - a)).toFixed(2)} points)`;
  if ('mae' in before && 'mae' in after)
    return `mean absolute error ${before.mae.toPrecision(4)} float, ${after.mae.toPrecision(4)} int8`;
  if ('mAP' in before && 'mAP' in after) return `mAP ${points(before.mAP, after.mAP)}`;
  if ('accuracy' in before && 'accuracy' in after) return `accuracy ${points(before.accuracy, after.accuracy)}`;
  return '';
}

/** Some lines for a person. */
export function quantisationText(report: QuantisationReport): string {
  const { file, bytes, from, before, after, judgedOn, layers, notes } = report;
  const how = [
    `${report.method} ranges`,
    report.perTensor ? 'a scale a weight tensor' : 'a scale an output channel',
    ...(report.equalize ? ['equalised'] : []),
    ...(report.biasCorrect ? ['biases corrected'] : []),
    ...(report.qatEpochs > 0 ? [`${report.qatEpochs} epochs of training`] : []),
  ];
  const noisy = layers.slice(0, SHOWN);
  const width = Math.max(...noisy.map(({ layer }) => layer.length));
  const lines = [
    ...notes,
    `${file}: ${megabytes(bytes)}, ${(bytes / from.bytes).toFixed(3)} of ${from.file} (${megabytes(from.bytes)})`,
    `calibrated on ${report.calibratedOn} images: ${how.join(', ')}`,
    ...(before && after ? [`${compared(before, after)} on ${judgedOn} (${before.images})`] : []),
    'signal to quantisation noise, the worst first:',
    ...noisy.map(({ layer, sqnr }) => `  ${layer.padEnd(width)}  ${sqnr.toFixed(1)} dB`),
  ];
  return `${lines.join('\n')}\n`;
}
