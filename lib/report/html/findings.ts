// What to look at first: sentences drawn from the figures. Owns the thresholds.
import type { Evaluation } from '../../infer/evaluate.js';
import { isMulticlass } from '../../infer/evaluation.js';
import { mistakes } from '../../infer/judged.js';
import type { Report } from './data.js';
import { percent, plural } from './markup.js';

export interface Finding {
  readonly text: string;
  /** section of the page with more of it */
  readonly section: 'curves' | 'confusion' | 'classes' | 'mistakes' | 'calibration';
}

/** A wrong answer this sure is more often a wrong label than a hard picture. */
const SURE = 0.9;
/** Points between accuracy on trained and on held-back images that are called a gap. */
const GAP = 0.05;
/** Mean over-confidence worth a sentence. */
const OFF = 0.03;
/** Largest class over smallest that is called uneven. */
const UNEVEN = 2;

const named = (list: readonly string[], most = 3): string =>
  list.length <= most ? list.join(', ') : `${list.slice(0, most).join(', ')} and ${list.length - most} more`;

function confusedPair({ confusion, classes }: Evaluation): Finding[] {
  let worst = { a: 0, b: 0, n: 0 };
  for (let a = 0; a < classes.length; a++) {
    for (let b = a + 1; b < classes.length; b++) {
      const n = confusion[a]![b]! + confusion[b]![a]!;
      if (n > worst.n) worst = { a, b, n };
    }
  }
  if (worst.n < 2) return [];
  const [a, b] = [classes[worst.a]!, classes[worst.b]!];
  return [
    {
      text: `${a.label} and ${b.label} are taken for each other most: ${worst.n} of their ${plural(a.support + b.support, 'image')}. More pictures of what tells them apart would help most.`,
      section: 'confusion',
    },
  ];
}

function weakClasses({ classes, macroF1 }: Evaluation): Finding[] {
  const weak = classes.filter((c) => c.support > 0 && c.f1 < macroF1 - 0.05).sort((a, b) => a.f1 - b.f1);
  if (weak.length === 0) return [];
  const list = weak.map((c) => `${c.label} (F1 ${percent(c.f1, 0)})`);
  return [{ text: `Weaker than the rest: ${named(list)}.`, section: 'classes' }];
}

function weakLabels({ evaluation }: Report): Finding[] {
  if (!evaluation || isMulticlass(evaluation) || evaluation.task !== 'multilabel') return [];
  const weak = evaluation.classes
    .filter((c) => c.support > 0 && c.ap < evaluation.mAP - 0.05)
    .sort((a, b) => a.ap - b.ap)
    .map((c) => `${c.label} (average precision ${percent(c.ap, 0)})`);
  return weak.length === 0 ? [] : [{ text: `Weaker than the rest: ${named(weak)}.`, section: 'classes' }];
}

function doubtfulLabels({ judged }: Evaluation, files: readonly string[]): Finding[] {
  const sure = mistakes(judged).filter((m) => m.probability >= SURE);
  if (sure.length === 0) return [];
  const list = named(sure.map((m) => files[m.row]!));
  const verb = sure.length === 1 ? 'is' : 'are';
  return [
    {
      text: `${plural(sure.length, 'image')} ${verb} taken for another class with over ${percent(SURE, 0)} certainty. Check ${sure.length === 1 ? 'its label' : 'their labels'} first: ${list}.`,
      section: 'mistakes',
    },
  ];
}

function uneven({ parts, classes, task }: Report): Finding[] {
  const train = parts.find((p) => p.name === 'training')?.counts;
  if (!train || task !== 'multiclass') return [];
  const [most, least] = [Math.max(...train), Math.min(...train)];
  if (most < UNEVEN * least) return [];
  const of = (n: number): string => classes[train.indexOf(n)]!;
  return [
    { text: `Uneven classes: ${of(most)} has ${most} training images, ${of(least)} has ${least}.`, section: 'classes' },
  ];
}

function course({ training, task }: Report): Finding[] {
  const history = training?.history ?? [];
  const kept = history.find((e) => e.epoch === training?.best);
  if (!training || !kept) return [];
  const found: Finding[] = [];
  const gap = kept.train.accuracy - kept.valid.accuracy;
  if (gap > GAP && task === 'multiclass') {
    found.push({
      text: `The network knows its training images by heart: ${percent(kept.train.accuracy)} of them right, ${percent(kept.valid.accuracy)} of the others. More images, augmentation or regularisation would narrow the gap.`,
      section: 'curves',
    });
  }
  if (training.state === 'done' && history.length > 2 && kept.epoch === training.epochs) {
    found.push({ text: 'The last epoch is the best one: more epochs may still help.', section: 'curves' });
  }
  return found;
}

function confidence({ judged }: Evaluation): Finding[] {
  const said = judged.reduce((a, j) => a + j.probability, 0) / judged.length;
  const right = judged.filter((j) => j.label === j.predicted).length / judged.length;
  if (Math.abs(said - right) < OFF) return [];
  return [
    {
      text: `It is ${said > right ? 'surer than it should be' : 'more often right than it says'}: ${percent(said)} sure on average, right ${percent(right)} of the time.`,
      section: 'calibration',
    },
  ];
}

/** Sentences, the most useful first; none where nothing stands out. */
export function findings(report: Report): Finding[] {
  const { evaluation } = report;
  if (!evaluation || !isMulticlass(evaluation)) return [...weakLabels(report), ...uneven(report), ...course(report)];
  return [
    ...doubtfulLabels(evaluation, report.files),
    ...confusedPair(evaluation),
    ...weakClasses(evaluation),
    ...uneven(report),
    ...course(report),
    ...confidence(evaluation),
  ];
}
