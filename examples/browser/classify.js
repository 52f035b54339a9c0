// Classifies pictures in this page with model.onnx, as `mnv2-torch export --resize` writes it: decoding is the browser's,
// resizing, preprocessing and the network are in the file, and so are the names of the classes.
import * as ort from './ort.wasm.bundle.min.mjs';

const TOP = 5;
// More threads need headers (cross-origin isolation) that a plain server does not send.
ort.env.wasm.numThreads = 1;

const [drop, input, picture, status, answers] = ['drop', 'file', 'picture', 'status', 'answers'].map((id) =>
  document.getElementById(id),
);
const say = (text) => (status.textContent = text);

/** The fields of a protobuf message that hold bytes, as [number, bytes]: all that an ONNX file's own texts need. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte % 128) * scale;
      if (!(byte >= 128)) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key % 8;
    if (kind === 0) varint();
    else if (kind === 2) {
      const length = varint();
      yield [Math.floor(key / 8), bytes.subarray(at, (at += length))];
    } else at += kind === 1 ? 8 : 4;
  }
}

/** What an ONNX file says of itself: field 14 of the model, pairs of a key (1) and a value (2). */
function metadataOf(model) {
  const text = (bytes) => new TextDecoder().decode(bytes);
  const pairs = [...fields(model)].filter(([number]) => number === 14).map(([, pair]) => new Map(fields(pair)));
  return Object.fromEntries(pairs.map((pair) => [text(pair.get(1)), text(pair.get(2))]));
}

async function openModel(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: the server answered ${response.status}; is it beside this page?`);
  const model = new Uint8Array(await response.arrayBuffer());
  const classes = JSON.parse(metadataOf(model).classes);
  const session = await ort.InferenceSession.create(model);
  const { type, shape } = session.inputMetadata[0];
  if (type !== 'uint8' || typeof shape[1] === 'number')
    throw new Error(`${file} takes ${type} [${shape}], not pictures of any size: export it with --resize`);
  return { session, classes };
}

/** uint8 [1, height, width, 3], RGB, upright; what is transparent is laid over black, as in training. */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return new ort.Tensor('uint8', rgb, [1, height, width, 3]);
}

function show(probabilities, classes) {
  const best = classes.map((name, i) => ({ name, probability: probabilities[i] }));
  best.sort((a, b) => b.probability - a.probability);
  answers.replaceChildren(
    ...best.slice(0, TOP).map(({ name, probability }) => {
      const [item, label, bar, percent] = ['li', 'span', 'meter', 'span'].map((tag) => document.createElement(tag));
      label.textContent = name;
      bar.value = probability;
      bar.ariaLabel = name;
      percent.textContent = `${(100 * probability).toFixed(1)}%`;
      item.append(label, bar, percent);
      return item;
    }),
  );
}

async function classify(file, { session, classes }) {
  answers.replaceChildren();
  say(`Looking at ${file.name} ...`);
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(file);
  picture.hidden = false;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    picture.hidden = true;
    throw new Error(`${file.name} is not a picture that this browser reads`);
  }
  const since = performance.now();
  const feeds = { [session.inputNames[0]]: pixelsOf(bitmap) };
  bitmap.close();
  const { [session.outputNames[0]]: probabilities } = await session.run(feeds);
  show(probabilities.data, classes);
  say(`${file.name}, in ${Math.round(performance.now() - since)} ms`);
}

function listen(model) {
  // One picture after the other, whenever they come.
  let turn = Promise.resolve();
  const take = (file) => {
    if (file) turn = turn.then(() => classify(file, model)).catch((error) => say(error.message));
  };
  input.disabled = false;
  input.addEventListener('change', () => take(input.files[0]));
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  addEventListener('dragleave', () => drop.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    take(event.dataTransfer.files[0]);
  });
  say(`Ready: ${model.classes.length} classes.`);
}

openModel('model.onnx').then(listen, (error) => say(error.message));
