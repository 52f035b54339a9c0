// What a file of weights holds, whoever wrote it, before anybody asks which network it is for.
import type { TensorData } from '../../native/wire.js';

/** Who wrote a file of weights, told by its content. */
export type Format = 'safetensors' | 'pytorch' | 'keras' | 'onnx';

/**
 * Tensors by the writer's own names, in the writer's order.
 * - pytorch: a state dict's names; PyTorch's axes
 * - keras: `<layer>/<array>`, where `<array>` is one of `kernel`, `depthwise_kernel`, `bias`, `gamma`, `beta`,
 *   `moving_mean`, `moving_variance`; Keras' axes (height, width, in, out)
 */
export interface WeightFile {
  readonly format: Format;
  readonly tensors: Map<string, TensorData>;
  /** what the file says of itself; empty for formats that say nothing */
  readonly metadata: Record<string, string>;
  /** what was chosen while reading, as sentences for the user: 'took its averaged weights (state_dict_ema)' */
  readonly notes: readonly string[];
}
