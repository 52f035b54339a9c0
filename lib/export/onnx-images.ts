// What comes before the network in an exported graph: from the bytes of pictures to what its weights expect.
import {
  encodeOnnx,
  ONNX_TYPE,
  type OnnxDimension,
  type OnnxValueInfo,
  type Written,
} from '../weights/formats/onnx-proto.js';
import { pixelScaling, type Preprocess } from '../weights/preprocess.js';
import { GraphBuilder } from './onnx-graph.js';

/** An input or output of the file. */
export interface Port {
  name: string;
  elemType: number;
  shape: readonly OnnxDimension[];
}

/** Version 18 has a Resize that widens its filter; runtimes have taken it since 2023. */
export const OPSETS = [{ domain: '', version: 18 }];
export const IR_VERSION = 8;

export const valueInfo = ({ name, elemType, shape }: Port): Written<OnnxValueInfo> => ({
  name,
  type: { tensorType: { elemType, shape: { dim: [...shape] } } },
});

/**
 * What a file takes:
 * - `images`: uint8 [N, size, size, 3], RGB
 * - `pictures`: uint8 [N, height, width, 3], of any size
 * - `raw`: float32 [N, 3, size, size], already scaled
 */
export type Takes = 'images' | 'pictures' | 'raw';

const N = { dimParam: 'N' };

const pictures = (name: string): Port => ({
  name,
  elemType: ONNX_TYPE.uint8,
  shape: [N, { dimParam: 'height' }, { dimParam: 'width' }, { dimValue: 3 }],
});

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
  const port = takes === 'images' ? { name, elemType: ONNX_TYPE.uint8, shape: [N, side, side, rgb] } : pictures(name);
  graph.path = 'preprocess';
  let value = takes === 'pictures' ? resize(name, size, graph) : name;
  value = graph.node('Transpose', [value], { perm: [0, 3, 1, 2] });
  const { scale, shift } = pixelScaling(preprocess);
  const perChannel = (values: number[]): string => graph.floats(values, [1, 3, 1, 1], true);
  if (takes === 'images') value = graph.node('Cast', [value], { to: ONNX_TYPE.float });
  value = graph.node('Mul', [value, perChannel(scale)]);
  value = narrow(graph.node('Add', [value, perChannel(shift)]));
  return { port, value };
}

/**
 * To a square, as `decodeImage` resamples: a triangle filter, wider where the picture shrinks. Ours rounds to bytes after
 * each of its two passes; this computes in floats and rounds once, so the two are never more than a level apart. Of bytes
 * ONNX Runtime would round twice as well, but some ties the other way each time, which can make two levels.
 */
function resize(pixels: string, size: number, graph: GraphBuilder): string {
  const wide = graph.node('Cast', [pixels], { to: ONNX_TYPE.float });
  const resized = graph.node('Resize', [wide, '', '', graph.ints([size, size])], {
    mode: { text: 'linear' },
    coordinate_transformation_mode: { text: 'half_pixel' },
    antialias: 1,
    exclude_outside: 1,
    axes: [1, 2],
  });
  return graph.node('Floor', [graph.node('Add', [resized, graph.floats([0.5], [], true)])]);
}

/** A model of that alone: `images` of any size -> `resized` [N, size, size, 3]. */
export function resizeModel(size: number): Uint8Array {
  const graph = new GraphBuilder('fp32');
  const port = pictures(graph.name('images'));
  const resized = graph.node('Cast', [resize(port.name, size, graph)], { to: ONNX_TYPE.uint8 }, 'resized');
  const side = { dimValue: size };
  const output = { name: resized, elemType: ONNX_TYPE.uint8, shape: [N, side, side, { dimValue: 3 }] };
  return encodeOnnx({
    irVersion: IR_VERSION,
    opsetImport: OPSETS,
    graph: {
      name: 'resize',
      node: graph.nodes,
      initializer: graph.initializers,
      input: [valueInfo(port)],
      output: [valueInfo(output)],
    },
  });
}
