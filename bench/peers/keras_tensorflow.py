"""Keras on TensorFlow, as its transfer-learning guide writes it. The same weights, set layer by layer from the safetensors."""
import os
import time

from protocol import Skip, arguments, peak_memory_mib, send, serve

options = arguments()
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.threads)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from image_folder import decode, list_images, split

tf.config.threading.set_intra_op_parallelism_threads(options.threads)
VERSIONS = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}


def load(classes, frozen):
    """The network with the first `frozen` of its 19 feature blocks not trainable."""
    tensors = load_file(options.weights)
    backbone = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(224, 224, 3))
    for layer in backbone.layers:
        name = layer.name
        if name.startswith("Conv1") or name == "bn_Conv1":
            block, part = 0, ""
        elif name.startswith("Conv_1"):
            block, part = 18, ""
        elif name.startswith("expanded_conv_"):
            block, part = 1, name.removeprefix("expanded_conv_")
        elif name.startswith("block_"):
            number, part = name.removeprefix("block_").split("_", 1)
            block = int(number) + 1
        else:
            continue
        layer.trainable = block >= frozen
        if not layer.weights:
            continue
        norm = isinstance(layer, keras.layers.BatchNormalization)
        at = {"expand": 0, "depthwise": 0 if block == 1 else 1, "project": 1 if block == 1 else 2}.get(part.split("_")[0], 0)
        if block in (0, 18):
            prefix = f"features.{block}.{int(norm)}"
        elif part.startswith("project"):
            prefix = f"features.{block}.conv.{at + int(norm)}"
        else:
            prefix = f"features.{block}.conv.{at}.{int(norm)}"
        if norm:
            layer.set_weights([tensors[f"{prefix}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")])
        else:
            kernel = tensors[f"{prefix}.weight"]
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            layer.set_weights([kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)])
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.2), keras.layers.Dense(classes)]
    return keras.Sequential([backbone, *head])


def precision(name):
    if name != "fp32":
        raise Skip("Keras is measured in float32")


def pixels(count):
    """[count, 224, 224, 3] float32 of real images, and their labels."""
    files, labels, classes = list_images(options.data)
    chosen = [(i * 997) % len(files) for i in range(count)]
    x = np.stack([decode(files[i]) for i in chosen]).astype("float32") / 127.5 - 1
    return tf.constant(x), tf.constant([labels[i] for i in chosen]), len(classes)


def compiled(model, optimizer):
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])


def train_step(request):
    precision(request["precision"])
    x, y, classes = pixels(request["batch"])
    model = load(classes, request["frozen"])
    compiled(model, keras.optimizers.SGD(1e-3, momentum=0.9))

    def measure(units):
        seconds = []
        for _ in range(units):
            start = time.perf_counter()
            model.train_on_batch(x, y)
            seconds.append(time.perf_counter() - start)
        return seconds

    measure(2)
    return measure


def infer(request):
    precision(request["precision"])
    x, _, classes = pixels(request["batch"])
    model = load(classes, 0)
    forward = tf.function(lambda v: model(v, training=False))

    def measure(units):
        seconds = []
        for _ in range(units):
            start = time.perf_counter()
            forward(x).numpy()
            seconds.append(time.perf_counter() - start)
        return seconds

    measure(3)
    return measure


def pipeline(files, labels, shuffle):
    def read(file, label):
        image = tf.image.decode_jpeg(tf.io.read_file(file), channels=3)
        image = tf.image.resize(image, (224, 224))
        return image / 127.5 - 1, label

    data = tf.data.Dataset.from_tensor_slices((files, labels))
    data = data.shuffle(len(files)) if shuffle else data
    return data.map(read, num_parallel_calls=options.threads).batch(16).prefetch(2)


def decode_pass(request):
    if request["cached"]:
        raise Skip("decodes again every time")
    files, labels, _ = list_images(options.data)
    files = (files * (request["images"] // len(files) + 1))[: request["images"]]

    def measure(units):
        start = time.perf_counter()
        for _ in range(units):
            for _batch in pipeline(files, [0] * len(files), False):
                pass
        return [(time.perf_counter() - start) / units]

    return measure


def job():
    precision(options.precision)
    files, labels, classes = list_images(options.data)
    train, valid = split(labels)
    sets = [pipeline([files[i] for i in rows], [labels[i] for i in rows], rows is train) for rows in (train, valid)]
    model = load(len(classes), 19)
    compiled(model, keras.optimizers.Adam(2e-3))
    measured = min(options.measure_epochs or options.epochs, options.epochs)
    for epoch in range(1, measured + 1):
        start = time.perf_counter()
        history = model.fit(sets[0], validation_data=sets[1], epochs=1, verbose=0).history
        send(type="epoch", epoch=epoch, seconds=time.perf_counter() - start, accuracy=history["val_accuracy"][-1])
    model.save_weights(options.out.removesuffix(".safetensors") + ".weights.h5")
    send(type="done", measuredEpochs=measured, epochs=options.epochs, peakMiB=peak_memory_mib(), versions=VERSIONS)


def prepare(request):
    cases = {"train-step": train_step, "infer": infer, "decode": decode_pass}
    if request["case"] not in cases:
        raise Skip(f"no case '{request['case']}'")
    return cases[request["case"]](request)


if __name__ == "__main__":
    job() if options.mode == "job" else serve(VERSIONS, prepare)
