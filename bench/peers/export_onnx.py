"""Writes the backbone and a head of zeros as an ONNX model with BatchNorm folded and TF SAME padding, for onnxruntime.

Usage: export_onnx.py <backbone.safetensors> <classes> <out.onnx>. Needs only onnx, numpy and safetensors.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

SETTING = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
EPS = 1e-3
nodes, initial = [], []


def constant(name, array):
    initial.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def conv(x, tensors, weight, norm, stride=1, relu6=True):
    """Convolution with the BatchNorm after it folded in, then Clip(0, 6)."""
    w = tensors[f"{weight}.weight"]
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + EPS)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    kernel = w.shape[2]
    pads = [0, 0, 0, 0] if kernel == 1 else [0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1]
    group = w.shape[0] if w.shape[1] == 1 else 1
    inputs = [x, constant(f"{weight}.folded", w * scale[:, None, None, None]), constant(f"{weight}.bias", bias)]
    y = f"{weight}.out"
    nodes.append(helper.make_node("Conv", inputs, [y], kernel_shape=[kernel, kernel], strides=[stride, stride], pads=pads, group=group))
    if relu6:
        nodes.append(helper.make_node("Clip", [y, "zero", "six"], [f"{y}.relu6"]))
        y = f"{y}.relu6"
    return y


def main(weights, classes, out):
    tensors = load_file(weights)
    constant("zero", np.float32(0).reshape(()))
    constant("six", np.float32(6).reshape(()))
    x, channels, block = conv("image", tensors, "features.0.0", "features.0.1", 2), 32, 1
    for t, c, n, s in SETTING:
        for i in range(n):
            stride, start, at, prefix = s if i == 0 else 1, x, 0, f"features.{block}.conv"
            if t != 1:
                x, at = conv(x, tensors, f"{prefix}.0.0", f"{prefix}.0.1"), 1
            x = conv(x, tensors, f"{prefix}.{at}.0", f"{prefix}.{at}.1", stride)
            x = conv(x, tensors, f"{prefix}.{at + 1}", f"{prefix}.{at + 2}", relu6=False)
            if stride == 1 and channels == c:
                nodes.append(helper.make_node("Add", [start, x], [f"{prefix}.sum"]))
                x = f"{prefix}.sum"
            channels, block = c, block + 1
    x = conv(x, tensors, "features.18.0", "features.18.1")
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["pooled"]))
    head = [constant("classifier.weight", np.zeros((1280, classes), np.float32)), constant("classifier.bias", np.zeros(classes, np.float32))]
    nodes.append(helper.make_node("Gemm", ["pooled", *head], ["logits"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", size]) for n, size in (("logits", classes), ("pooled", 1280))]
    graph = helper.make_graph(nodes, "mobilenet_v2", [image], outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, out)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
