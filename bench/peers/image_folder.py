"""Reading the image folder with Pillow, and the split: what the Python peers share before any framework is involved."""
import os
import random

import numpy as np
from PIL import Image

SIZE = 224
EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


def list_images(root):
    """(files, labels, classes); classes in sorted order give labels 0, 1, ..."""
    classes = sorted(d for d in os.listdir(root) if os.path.isdir(os.path.join(root, d)))
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(f for f in os.listdir(os.path.join(root, name)) if f.lower().endswith(EXTENSIONS))
        for f in found:
            files.append(os.path.join(root, name, f))
            labels.append(label)
    return files, labels, classes


def split(labels, validation=0.3, seed=0):
    """Stratified (train, validation) index lists."""
    rng, by_class = random.Random(seed), {}
    for i, label in enumerate(labels):
        by_class.setdefault(label, []).append(i)
    train, valid = [], []
    for members in by_class.values():
        rng.shuffle(members)
        cut = round(len(members) * validation)
        valid += members[:cut]
        train += members[cut:]
    return train, valid


def decode(path):
    """[SIZE, SIZE, 3] uint8, resized as torchvision's and Keras' loaders do: bilinear."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        if image.size != (SIZE, SIZE):
            image = image.resize((SIZE, SIZE), Image.BILINEAR)
        return np.asarray(image)
