// What comes before the network in an exported graph: from the bytes of pictures to what its weights expect.
import { ONNX_TYPE, type OnnxDimension } from '../weights/formats/onnx-proto.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import type { GraphBuilder } from './onnx-graph.js';

/** An input or output of the file. */
export interface Port {
  name: string;
  elemType: number;
  shape: readonly OnnxDimension[];
}

/**
 * What a file takes:
 * - `images`: uint8 [N, size, size, 3], RGB
 * - `pictures`: uint8 [N, height, width, 3], of any size
 * - `raw`: float32 [N, 3, size, size], already scaled
 */
export type Takes = 'images' | 'pictures' | 'raw';

const N = { dimParam: 'N' };

/** The file's input, and the value [N, 3, size, size] that the network reads. */
export function readImages(takes: Takes, preprocess: Preprocess, graph: GraphBuilder): { port: Port; value: string } {
  const { size } = preprocess;
  const side = { dimValue: size };
  const rgb = { dimValue: 3 };
  const narrow = (x: string): string => (graph.float === 'fp16' ? graph.node('Cast', [x], { to: graph.floatType }) : x);
  if (takes === 'raw') {
    const name = graph.name('input');
    const port = { name, elemType: ONNX_TYPE.float, shape: [N, rgb, side, side] };
    return { port, value: narrow(name) };
  }
  const name = graph.name('images');
  const shape = takes === 'images' ? [N, side, side, rgb] : [N, { dimParam: 'height' }, { dimParam: 'width' }, rgb];
  graph.path = 'preprocess';
  let value = takes === 'pictures' ? resize(name, size, graph) : name;
  value = graph.node('Transpose', [value], { perm: [0, 3, 1, 2] });
  const { scale, shift } = pixelScaling(preprocess);
  const perChannel = (values: number[]): string => graph.floats(values, [1, 3, 1, 1], true);
  value = graph.node('Cast', [value], { to: ONNX_TYPE.float });
  value = graph.node('Mul', [value, perChannel(scale)]);
  value = narrow(graph.node('Add', [value, perChannel(shift)]));
  return { port: { name, elemType: ONNX_TYPE.uint8, shape }, value };
}

/**
 * To a square, as `decodeImage` does it: a triangle filter, wider where the picture shrinks. Of bytes, not of floats, which
 * rounds where ours rounds.
 */
function resize(pixels: string, size: number, graph: GraphBuilder): string {
  return graph.node('Resize', [pixels, '', '', graph.ints([size, size])], {
    mode: { text: 'linear' },
    coordinate_transformation_mode: { text: 'half_pixel' },
    antialias: 1,
    exclude_outside: 1,
    axes: [1, 2],
  });
}
