"""Networks of other libraries, as each saves them, with their logits on the same images.

Arguments: a folder with images.raw (bytes, N x SIZE x SIZE x 3), SIZE, then the networks as <library>:<name>:<file>; of
each <file> and <file>.logits (float32, N x 11) are written. Statistics of BatchNorm are those of the images."""

import os
import sys

import numpy

folder, size, networks = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
pixels = numpy.fromfile(os.path.join(folder, "images.raw"), numpy.uint8).reshape(-1, size, size, 3)
CLASSES = 11


def torch_logits(model, mean, std):
    import torch
    from networks_in_torch import settle

    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.manual_seed(3)
    settle(model, x, std=0.05)
    with torch.no_grad():
        return model.eval()(x).numpy()


def from_torchvision(name, file):
    import torch
    from networks_in_torch import torchvision

    model = getattr(torchvision.models, name)(num_classes=CLASSES)
    logits = torch_logits(model, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.save(model.state_dict(), file)
    return logits


def from_timm(name, file):
    import networks_in_torch  # before timm, which imports torchvision  # noqa: F401
    import timm
    import torch

    model = timm.create_model(name, num_classes=CLASSES)
    logits = torch_logits(model, model.default_cfg["mean"], model.default_cfg["std"])
    if file.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(model.state_dict(), file)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    return logits


def from_keras(name, file):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.utils.set_random_seed(3)
    # The third version scales pixels itself unless told otherwise.
    own = {"include_preprocessing": False} if "V3" in name else {}
    build = getattr(keras.applications, name)
    model = build(weights=None, classes=CLASSES, classifier_activation=None, input_shape=(size, size, 3), **own)
    random = numpy.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            gamma, beta, *statistics = layer.get_weights()
            gamma = random.uniform(0.8, 1.2, gamma.shape)
            layer.set_weights([gamma, random.uniform(-0.2, 0.2, beta.shape), *statistics])
    x = pixels.astype("float32") / 127.5 - 1
    model(x, training=True)
    logits = keras.ops.convert_to_numpy(model(x, training=False))
    model.save_weights(file) if file.endswith(".weights.h5") else model.save(file)
    return logits.reshape(len(x), CLASSES)


for network in networks:
    library, name, file = network.split(":")
    path = os.path.join(folder, file)
    logits = {"torchvision": from_torchvision, "timm": from_timm, "keras": from_keras}[library](name, path)
    logits.astype("float32").tofile(path + ".logits")
