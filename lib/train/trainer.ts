// Trainer: the loop. Options in options.ts, graphs in network.ts, cached features in frozen-features.ts, files in run.ts.
import { DivergedError, UsageError } from '../errors.js';
import type { LoopResult, NativeAugment } from '../native/wire.js';
import type { Dataset, Split } from '../data/dataset.js';
import { pixelScaling } from '../weights/preprocess.js';
import type { Module } from '../nn/module.js';
import { Engine } from '../engine/engine.js';
import { RowStore } from '../engine/rows.js';
import { Weights } from '../engine/weights.js';
import { compile, type Binding, type Program } from '../engine/program.js';
import { loadWeights } from '../weights/load.js';
import { during, type Phase, type TrainEvent } from './events.js';
import { cacheLimit, featureBytes, FrozenFeatures } from './features.js';
import { trainingGraphs } from './network.js';
import { resolveTrainer, type ResolvedTrainer, type TrainerOptions } from './recipe.js';
import { Run } from './run.js';
import { cosineSchedule, shuffled } from './schedule.js';

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Mean loss and accuracy over all images of a loop: a last, smaller batch counts by its images. */
function phaseOf(result: LoopResult, batchSize: number): Phase {
  const { examples, seconds, stack } = result;
  const last = examples - (result.steps - 1) * batchSize;
  const loss = stack['loss']!.reduce((a, v, i) => a + v * (i === result.steps - 1 ? last : batchSize), 0) / examples;
  const correct = stack['correct']!.reduce((a, v) => a + v, 0);
  return { loss, accuracy: correct / examples, seconds, steps: result.steps, imagesPerSecond: examples / seconds };
}

/**
 * Trains a model on a dataset; iterate it to run it. Each event says what just happened; the last is `done` (or
 * `stopped`, after the signal aborted between two steps and everything was saved).
 * @throws DataError for unusable images or weights, DivergedError when the loss stops being finite
 * @example
 * import { MobileNetV2, syntheticScenes, Trainer } from 'mnv2-torch';
 * const data = await syntheticScenes({ size: 32, perClass: 4 });
 * const model = MobileNetV2({ numClasses: data.classes.length, widthMult: 0.25 });
 * for await (const event of new Trainer(model, data, { epochs: 1, seed: 0 })) {
 *   if (event.event === 'epoch') console.log(event.epoch, Number.isFinite(event.train.loss)); // 1 true
 * }
 */
export class Trainer implements AsyncIterable<TrainEvent> {
  readonly #options: ResolvedTrainer;

  constructor(
    readonly model: Module,
    readonly data: Dataset,
    options: TrainerOptions = {},
  ) {
    this.#options = resolveTrainer(model, data, options);
  }

  /** All settings as they are used, defaults filled in. */
  get options(): Readonly<ResolvedTrainer> {
    return this.#options;
  }

  [Symbol.asyncIterator](): AsyncIterator<TrainEvent> {
    return during<TrainEvent>((emit) => this.#train(emit));
  }

  async #train(emit: (event: TrainEvent) => void): Promise<void> {
    const { model, data } = this;
    const o = this.#options;
    const started = performance.now();
    const elapsed = (): number => (performance.now() - started) / 1000;
    await Run.check(o.out);
    const engine = new Engine({ device: o.device, ...(o.threads && { threads: o.threads }) });
    const owned: { dispose(): void }[] = [engine];
    try {
      const weights = await Weights.init(model, { seed: o.seed, engine });
      owned.unshift(weights);
      const notes: string[] = [];
      if (o.weights) {
        const report = await loadWeights(weights, model, o.weights.tensors, {
          source: `the weights in ${o.weights.file}`,
        });
        const fresh = [...report.missing, ...report.skippedHead].filter((n) => !n.endsWith('num_batches_tracked'));
        if (fresh.length > 0) notes.push(`the classifier starts fresh (${fresh.join(', ')})`);
      }

      // --- what is computed once, and what in every step
      const classes = data.classes.length;
      const views = o.augment ? o.views : 0;
      const wanted = o.cache === 'auto' && !(o.augment && o.views === 0);
      let graphs = trainingGraphs(model, data.size, classes, o.labelSmoothing, wanted);
      const bytes = featureBytes(graphs.train.prefix, data.labels.length, views, o.precision);
      if (bytes > cacheLimit()) {
        notes.push(
          `frozen features are not cached: they would take ${gibibytes(bytes)} of ${gibibytes(cacheLimit())} allowed`,
        );
        graphs = trainingGraphs(model, data.size, classes, o.labelSmoothing, false);
      }
      const parameters = [...model.namedParameters()].filter(([, p]) => p.kind === 'parameter');
      const size = (of: typeof parameters): number =>
        of.reduce((a, [, p]) => a + p.shape.reduce((x, y) => x * y, 1), 0);
      emit({
        event: 'start',
        device: engine.device,
        precision: o.precision,
        parameters: size(parameters),
        trainable: size(parameters.filter(([, p]) => p.requiresGrad)),
        out: o.out ?? null,
        notes,
      });
      const images = { store: data.store, ...pixelScaling(o.preprocess) };
      const frozen = Object.keys(graphs.train.prefix).length > 0;
      const features = frozen
        ? new FrozenFeatures({
            prefix: graphs.train.prefix,
            weights,
            precision: o.precision,
            images,
            count: data.labels.length,
            views,
            seed: o.seed,
          })
        : undefined;
      if (features) owned.unshift(features);

      // --- decoding, and the frozen part over every image while it goes on
      const onChunk = (total: number): ((n: number) => void) => {
        let done = 0;
        return (n) => emit({ event: 'progress', phase: 'cache', done: (done += n), total, seconds: elapsed() });
      };
      const stop = o.signal;
      let complete = true;
      let split: Split;
      if (features && !o.augment) {
        complete = await features.follow((n) => data.packed(n), stop, onChunk(data.labels.length));
        split = await data.ready();
      } else {
        split = await data.ready();
        if (features) {
          const step = onChunk(split.val.length + views * split.train.length);
          complete = await features.compute(split.val, 0, undefined, stop, step);
          for (let v = 1; v <= views && complete; v++)
            complete = await features.compute(split.train, v, o.augment, stop, step);
        }
      }
      features?.finish();
      if (split.train.length === 0) throw new UsageError('the split leaves no images to train on');
      const run = await Run.create(o, model, data, split);
      emit({
        event: 'data',
        classes,
        images: { train: split.train.length, valid: split.val.length, test: split.test.length },
        skipped: data.skipped.map((f) => f.file),
      });
      if (features && complete)
        emit({
          event: 'cached',
          images: data.labels.length,
          views: views + 1,
          bytes: features.bytes,
          seconds: elapsed(),
        });

      // --- the epochs
      const labels = await RowStore.from(
        engine,
        BigInt64Array.from(data.labels, (l) => BigInt(l)),
        [data.labels.length],
        'int64',
      );
      const shared = { weights, precision: o.precision, cudaGraph: o.cudaGraph };
      const trainer = compile(graphs.train.suffix, {
        ...shared,
        train: { loss: 'loss', parameters: graphs.trainable, optimizer: o.optimizer },
      });
      const validator = compile(graphs.valid.suffix, shared);
      owned.unshift(labels, trainer, validator);
      const bind = (view: number, epoch: number, augment?: NativeAugment): Record<string, Binding> => ({
        label: { rows: labels },
        ...(features
          ? features.bindings(view)
          : {
              image: {
                images: images.store,
                scale: images.scale,
                shift: images.shift,
                seed: o.seed,
                epoch,
                ...(augment && { augment }),
              },
            }),
      });
      const perEpoch = Math.ceil(split.train.length / o.batchSize);
      const validBatch = Math.max(o.batchSize, features ? 256 : 16);
      const best = { epoch: 0, accuracy: -1 };

      for (let epoch = 1; epoch <= o.epochs && complete; epoch++) {
        const pass = (
          program: Program,
          phase: 'train' | 'valid',
          order: Int32Array,
          batchSize: number,
          view: number,
          extra: object,
        ): Promise<LoopResult> => {
          const since = performance.now();
          const total = Math.ceil(order.length / batchSize);
          const report = (done: number, sums: Record<string, number>): void =>
            emit({
              event: 'progress',
              phase,
              epoch,
              epochs: o.epochs,
              done,
              total,
              seconds: (performance.now() - since) / 1000,
              loss: sums['loss']! / done,
              accuracy: sums['correct']! / (done * batchSize),
            });
          return program.loop({
            order,
            batchSize,
            bind: bind(view, epoch, phase === 'train' ? o.augment : undefined),
            stack: ['loss', 'correct'],
            onProgress: report,
            seed: o.seed,
            ...(stop && { signal: stop }),
            ...extra,
          });
        };
        const firstStep = (epoch - 1) * perEpoch;
        const lr = cosineSchedule(o.lr, o.warmUp * perEpoch, o.epochs * perEpoch, firstStep, perEpoch);
        // Cached views take turns; without a cache every epoch draws anew.
        const view = features && views > 0 ? 1 + ((epoch - 1) % views) : 0;
        if (stop?.aborted) break;
        const trained = await pass(trainer, 'train', shuffled(split.train, o.seed, epoch), o.batchSize, view, {
          lr,
          firstStep,
          finite: 'loss',
        });
        if (trained.diverged >= 0) {
          throw new DivergedError(
            `the loss stopped being finite at step ${trained.diverged + 1} of epoch ${epoch} (learning rate ${lr[trained.diverged]!.toPrecision(3)}). ` +
              `Try a lower --lr (it was ${o.lr})${best.epoch > 0 && run.folder ? `; the best checkpoint so far is ${run.path('best')}` : ''}`,
          );
        }
        if (trained.stopped) break;
        const validated = await pass(validator, 'valid', split.val, validBatch, 0, {});
        if (validated.stopped) break;
        const figures = { train: phaseOf(trained, o.batchSize), valid: phaseOf(validated, validBatch) };
        const event: TrainEvent = { event: 'epoch', epoch, epochs: o.epochs, lr: lr[0]!, ...figures };
        await run.log(event);
        if (figures.valid.accuracy > best.accuracy) {
          Object.assign(best, { epoch, accuracy: figures.valid.accuracy });
          await run.keepBest(weights, epoch, figures.valid.accuracy);
        }
        emit(event);
      }
      await run.finish(weights);
      if (stop?.aborted) emit({ event: 'stopped', epoch: best.epoch, checkpoint: run.folder && run.path('last') });
      else emit({ event: 'done', best, checkpoint: run.folder && run.path('best'), seconds: elapsed() });
    } finally {
      for (const it of owned) it.dispose();
    }
  }
}
