// Bias correction (Nagel et al. 2019, section 4.2): rounding moves the mean of a layer's outputs; its bias moves it back.
import { add, mean, reshape, sub } from '../graph/ops.js';
import type { Layer } from '../graph/quantised.js';
import type { Tensor } from '../graph/tensor.js';
import { biasOf, floatGraph, roundedGraph, type FoldedNetwork, type Rounding } from './folded.js';
import type { Measuring } from './measuring.js';

/** Over everything but channels: [C]. */
const channelMeans = (t: Tensor): Tensor => mean(t, { dims: t.shape.map((_, i) => i).filter((i) => i !== 1) });

/**
 * Changes the biases by what rounding does to their layers' means over the pictures. Each layer is looked at behind layers
 * that are corrected already, all in one pass: a step's graph corrects itself by the means of its own images.
 */
export async function correctBiases(net: FoldedNetwork, rounding: Rounding, measuring: Measuring): Promise<void> {
  const means = new Map<Layer, Tensor>();
  floatGraph(net, { output: (layer, made) => (means.set(layer, channelMeans(made)), made) });
  const outputs: Record<string, Tensor> = {};
  roundedGraph(net, rounding, {
    output: (layer, made) => {
      if (layer.bias === undefined) return made;
      const lost = sub(means.get(layer)!, channelMeans(made)); // [C]
      outputs[layer.bias] = reshape(lost, [1, lost.shape[0]!]);
      return add(
        made,
        reshape(
          lost,
          made.shape.map((_, i) => (i === 1 ? -1 : 1)),
        ),
      );
    },
  });
  const { rows } = await measuring.run({ outputs, rows: Object.keys(outputs) });
  const total = measuring.pictures.rows.length;
  for (const layer of net.sites.layers.values()) {
    const bias = biasOf(net, layer);
    if (!bias) continue;
    const { data, shape } = rows[layer.bias!]!;
    for (let step = 0; step < shape[0]!; step++) {
      const images = Math.min(measuring.batch, total - step * measuring.batch);
      for (let c = 0; c < bias.length; c++) bias[c]! += (Number(data[step * bias.length + c]) * images) / total;
    }
  }
  await measuring.update(net);
}
