// What an architecture is to the rest of the package. One file describes one (mobilenet-v2.ts); registry.ts lists them.
import type { MobileNet, MobileNetOptions } from './classifier-network.js';
import type { Head } from './head.js';
import type { LayerNames } from './layer-names.js';
import type { OptionTable } from './options.js';

export interface Architecture<N extends string = string, O extends MobileNetOptions = MobileNetOptions> {
  /** in metadata and on the command line */
  readonly name: N;
  /** every option with its default, bounds and metadata key */
  readonly options: OptionTable<O>;
  /** The network; the elements of its `features` are the blocks that freezing counts. */
  create(options?: O): MobileNet<O>;
  readonly head: Head;
  /** every layer with weights, in the order of the network, and its names elsewhere */
  layers(options: Required<O>): readonly LayerNames[];
}
