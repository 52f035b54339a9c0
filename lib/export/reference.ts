// What a checkpoint itself answers to pictures: the measure of its exports. The same program a Classifier runs.
import { ImageStore } from '../engine/images.js';
import { compile, type Program } from '../engine/program.js';
import type { Weights } from '../engine/weights.js';
import { softmax } from '../graph/ops.js';
import { input } from '../graph/tensor.js';
import { evaluating, onEngine } from '../infer/trained.js';
import type { CompleteCheckpoint } from '../weights/checkpoint.js';
import { pixelScaling } from '../weights/preprocess.js';

/** What is compared. */
export type Compared = 'logits' | 'probabilities';

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
    const logits = evaluating(checkpoint.model, (m) => m.call(input('image', [-1, 3, size, size])));
    return new Reference(checkpoint, weights, compile({ logits, probabilities: softmax(logits) }, { weights, fuse }));
  }

  /** Both [pictures, classes], of pictures [size, size, 3]. */
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
      return { logits: of('logits'), probabilities: of('probabilities') };
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
