// Compares images by what a network makes of them before its head:
//   node examples/features.js run/ query.jpg other.jpg another.jpg
// Any module's output can be fetched by its name, 'features.3' as well as 'pool'; only what it needs is computed.
import {
  compile,
  completeCheckpoint,
  decodeImage,
  ImageStore,
  input,
  loadCheckpoint,
  loadWeights,
  pixelScaling,
  Weights,
} from 'mnv2-torch';

const [file, query, ...others] = process.argv.slice(2);
if (!file || others.length === 0) {
  console.error('usage: node examples/features.js <checkpoint or run folder> <image> <image to compare with> ...');
  process.exit(2);
}

const { model, tensors, preprocess } = completeCheckpoint(await loadCheckpoint(file));
const { size } = preprocess;
const weights = await Weights.init(model);
await loadWeights(weights, model, tensors, { strict: true });
const program = compile({ logits: model.eval().call(input('image', [-1, 3, size, size])) }, { weights });

const images = [query, ...others];
const store = new ImageStore({ count: images.length, height: size, width: size, channels: 3 });
for (const [i, image] of images.entries()) store.put(i, await decodeImage(image, size));

const { rows } = await program.loop({
  order: Int32Array.from(images, (_, i) => i),
  batchSize: 16,
  bind: { image: { images: store, ...pixelScaling(preprocess) } },
  rows: ['pool'], // [images, 1280]
});
const [count, width] = rows.pool.shape;
const feature = (i) => rows.pool.data.subarray(i * width, (i + 1) * width);

/** 1 for the same direction, 0 for nothing in common. */
function cosine(a, b) {
  const dot = (u, v) => u.reduce((sum, x, i) => sum + x * v[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
const alike = [];
for (let i = 1; i < count; i++) alike.push({ image: images[i], similarity: cosine(feature(0), feature(i)) });
for (const { image, similarity } of alike.sort((a, b) => b.similarity - a.similarity)) {
  console.log(`${similarity.toFixed(3)} ${image}`);
}

store.dispose();
program.dispose();
weights.dispose();
