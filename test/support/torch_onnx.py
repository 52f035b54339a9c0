# Writes <folder>/<name>.onnx of torchvision's networks as torch.onnx exports them, and what they answer to
# <folder>/<name>.json: {"image": [...], "logits": [...]} of one picture [1, 3, 64, 64].
import json
import sys

import torch
import torchvision

folder = sys.argv[1]
torch.manual_seed(1)
NETWORKS = {
    "v2": lambda: torchvision.models.mobilenet_v2(num_classes=7, width_mult=0.5),
    "v3-small": lambda: torchvision.models.mobilenet_v3_small(num_classes=7),
    "v3-large": lambda: torchvision.models.mobilenet_v3_large(num_classes=7),
}
# Of old, when hardswish had no operator of its own, and of late; BatchNorm folded, as is the default, and kept.
VARIANTS = {
    "opset11": dict(opset_version=11),
    "opset17": dict(opset_version=17, dynamic_axes={"x": {0: "n"}}, input_names=["x"]),
    "kept": dict(opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE),
}
for name, make in NETWORKS.items():
    model = make()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.3, 1.0)
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
    model.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = model(image)
    for variant, options in VARIANTS.items():
        torch.onnx.export(model, (image,), f"{folder}/{name}-{variant}.onnx", dynamo=False, **options)
    with open(f"{folder}/{name}.json", "w") as out:
        json.dump({"image": image.flatten().tolist(), "logits": logits.flatten().tolist()}, out)
