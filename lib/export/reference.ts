// What a checkpoint itself answers to pictures: the measure of its exports. The same program a Classifier runs.
import { ImageStore } from '../engine/images.js';
import { compile, type Program } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { input } from '../graph/tensor.js';
import { evaluating, onEngine } from '../infer/trained.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { answersOf } from '../weights/task.js';
import { pixelScaling } from '../weights/preprocess.js';

/** What is compared: of a regression `numbers`, in standard deviations, which is how its network gives them. */
export type Compared = 'logits' | 'probabilities' | 'numbers';

/** What an export of a checkpoint gives. */
export const givenBy = ({ task }: CompleteCheckpoint, raw: boolean): Compared =>
  raw ? 'logits' : task.kind === 'regression' ? 'numbers' : 'probabilities';

export class Reference {
  private constructor(
    private readonly checkpoint: CompleteCheckpoint,
    private readonly weights: Weights,
    private readonly program: Program,
  ) {}

  /** @param fuse false: its ops one by one, which takes sums in another order */
  static async of(checkpoint: CompleteCheckpoint, fuse = true): Promise<Reference> {
    const weights = await onEngine(checkpoint, { device: 'cpu' });
    const { size } = checkpoint.preprocess;
    const { model, task } = checkpoint;
    const logits = evaluating(model, (m) => m.call(input('image', [-1, 3, size, size])));
    const probabilities = task.kind === 'regression' ? logits : answersOf(logits, task);
    return new Reference(checkpoint, weights, compile({ logits, probabilities }, { weights, fuse }));
  }

  /** All [pictures, classes], of pictures [size, size, 3]. */
  async answers(pictures: readonly Uint8Array[]): Promise<Record<Compared, Float32Array>> {
    const { size } = this.checkpoint.preprocess;
    const store = new ImageStore({ count: pictures.length, height: size, width: size, channels: 3 });
    try {
      pictures.forEach((pixels, i) => store.put(i, pixels));
      const { rows } = await this.program.loop({
        order: Int32Array.from(pictures.keys()),
        batchSize: pictures.length,
        bind: { image: { images: store, ...pixelScaling(this.checkpoint.preprocess) } },
        rows: ['logits', 'probabilities'],
      });
      const of = (name: Compared): Float32Array => rows[name]!.data as Float32Array;
      return { logits: of('logits'), probabilities: of('probabilities'), numbers: of('logits') };
    } finally {
      store.dispose();
    }
  }

  dispose(): void {
    this.program.dispose();
    this.weights.dispose();
    this.weights.engine.dispose();
  }
}
