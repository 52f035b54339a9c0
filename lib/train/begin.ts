// The beginning of a training, or of its second half: weights on an engine, what everything is compared with that an
// earlier process left, and the prepared programs with what they remembered.
import { DataError } from '../errors.js';
import type { Dataset } from '../data/dataset.js';
import { dataChanges, fingerprintOf, listingChanges, type Fingerprint } from '../data/fingerprint.js';
import type { NamedTensors } from '../engine/state.js';
import type { Weights } from '../engine/weights.js';
import type { TensorData } from '../native/wire.js';
import type { Module } from '../nn/module.js';
import type { TrainEvent } from './events.js';
import { enough } from './enough.js';
import { firstWeights, parameterCounts, prepare, type Own, type Prepared } from './prepare.js';
import type { Recipe } from './recipe.js';
import type { SavedState } from './state-file.js';
import { Freezing, stageAfter } from './stages.js';
import { changing } from './state.js';
import { compareTerms, termsOf, type Terms } from './terms.js';

interface Beginnings {
  recipe: Recipe;
  model: Module;
  data: Dataset;
  saved: SavedState | undefined;
  stop: AbortSignal;
  emit: (event: TrainEvent) => void;
  /** notes of an attempt before this one */
  said: readonly string[];
}

interface Ready {
  weights: Weights;
  terms: Terms;
  prepared: Prepared | undefined;
  prepareStage: (epoch: number) => Promise<Prepared | undefined>;
  changing: readonly string[];
  fingerprint: Fingerprint | undefined;
}

/**
 * @throws UsageError that names every setting that is not as it was; DataError that names what changed in the data
 */
export async function begin(context: Beginnings, own: Own): Promise<Ready> {
  const { recipe, model, data, saved, stop, emit } = context;
  if (saved) refuse(listingChanges(saved.data, data)); // before an image is decoded
  const { weights, notes } = await firstWeights(recipe, model, own, saved);
  notes.unshift(...context.said);
  const terms = termsOf(recipe, model, data, weights.engine);
  const freezing = new Freezing(model);
  own({ dispose: () => freezing.restore() });
  const stage = stageAfter(saved?.position.epoch ?? 0, recipe);
  const prepareStage = (epoch: number, hear = quietly(emit), say: string[] = []): Promise<Prepared | undefined> => {
    const next = stageAfter(epoch, recipe);
    freezing.enter(next);
    return prepare({ ...recipe, epochs: next.epochs }, model, data, { weights, notes: say }, stop, hear, own);
  };
  const ready = { weights, terms, prepareStage, changing: changing(model) };
  if (saved) {
    const moved = compareTerms(saved.terms, terms, recipe, saved.stepsPerEpoch);
    notes.push(whereItIs(saved, recipe));
    if (moved.length > 0) notes.push(`the last digits of the results may differ, as ${moved.join(', ')}`);
    if (enough(saved.position, recipe)) {
      const { device } = weights.engine;
      const { precision, out = null } = recipe;
      emit({ event: 'start', device, precision, ...parameterCounts(model), out, notes });
      return { ...ready, prepared: undefined, fingerprint: undefined };
    }
  }
  const prepared = await prepareStage(stage.first, emit, notes);
  if (!prepared || recipe.out === undefined) return { ...ready, prepared, fingerprint: undefined };
  const fingerprint = await fingerprintOf(data, prepared.split);
  if (saved) {
    refuse(dataChanges(saved.data, fingerprint));
    // At the end of a stage what its program remembers is not for the next one.
    if (saved.stage === stage.first) await restore(prepared.trainer.state, saved.program);
  }
  return { ...ready, prepared, fingerprint };
}

/** A later stage begins without the words of the first. */
const quietly =
  (emit: (event: TrainEvent) => void) =>
  (event: TrainEvent): void => {
    if (event.event !== 'start' && event.event !== 'data') emit(event);
  };

function whereItIs({ position, stepsPerEpoch }: SavedState, recipe: Recipe): string {
  const { epoch, step, pass } = position;
  const why = enough(position, recipe);
  if (why !== undefined) return `the run is done: ${why}, nothing is left to do`;
  const within = pass ? `step ${pass.steps} of ${stepsPerEpoch} in epoch ${epoch + 1}` : `the end of epoch ${epoch}`;
  return step === 0 ? 'the run goes on from its beginning' : `the run goes on from ${within}`;
}

const refuse = (changes: readonly string[]): void => {
  if (changes.length > 0) throw new DataError(`resume: the data changed: ${changes.join('; ')}`);
};

async function restore(state: NamedTensors, saved: ReadonlyMap<string, TensorData>): Promise<void> {
  await state.set([...saved].map(([name, value]) => ({ name, ...value })));
}
