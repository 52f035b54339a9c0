"""Writes what torchvision's MobileNet V3 holds and computes: <folder>/<arch>-<width>.safetensors, each with the state
dict of a network whose statistics fit its weights, and an image (`test.image`) with its logits (`test.logits`).

Arguments: the folder, then the networks as <arch>-<width>."""

import ctypes
import json
import sys

import torch
from networks_in_torch import settle, torchvision


def write(file, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        dtype = {torch.float32: "F32", torch.int64: "I64"}[t.dtype]
        size = t.numel() * t.element_size()
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for t in tensors.values():
            t = t.contiguous()
            out.write(ctypes.string_at(t.data_ptr(), t.numel() * t.element_size()))


def main(folder, networks):
    for network in networks:
        arch, width = network.rsplit("-", 1)
        torch.manual_seed(3)
        model = getattr(torchvision.models.mobilenetv3, arch)(width_mult=float(width), num_classes=11)
        image = torch.rand(2, 3, 96, 96) * 2 - 1
        settle(model, torch.rand(8, 3, 96, 96) * 2 - 1, std=0.1)
        with torch.no_grad():
            logits = model.eval()(image)
        write(f"{folder}/{network}.safetensors", {**model.state_dict(), "test.image": image, "test.logits": logits})


main(sys.argv[1], sys.argv[2:])
