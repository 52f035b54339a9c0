"""Writes what torchvision's MobileNet V3 holds and computes: <folder>/<arch>-<width>.safetensors, each with the state
dict of a network whose statistics fit its weights, and an image (`test.image`) with its logits (`test.logits`).

Arguments: the folder, then the networks as <arch>-<width>."""

import ctypes
import json
import sys

import torch

# torchvision's compiled operators want the CUDA build of torch where PyPI's wheel meets a torch for the CPU. The
# networks need none of them; what it registers about them must not stop the import.
register = torch.library.register_fake
torch.library.register_fake = lambda name, *a, **k: (
    (lambda f: f) if name.startswith("torchvision::") else register(name, *a, **k)
)
from torchvision.models import mobilenetv3  # noqa: E402


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
        model = getattr(mobilenetv3, arch)(width_mult=float(width), num_classes=11)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                torch.nn.init.uniform_(module.weight, 0.8, 1.2)
                torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            elif isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, std=0.1)
        image = torch.rand(2, 3, 96, 96) * 2 - 1
        with torch.no_grad():
            model.train()(torch.rand(8, 3, 96, 96) * 2 - 1)
            logits = model.eval()(image)
        write(f"{folder}/{network}.safetensors", {**model.state_dict(), "test.image": image, "test.logits": logits})


main(sys.argv[1], sys.argv[2:])
