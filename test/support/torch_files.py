# Files of torch.save, and what is in them: torch_files.py FOLDER. Prints {file: {name: [dtype, shape, numbers]}} as JSON,
# or {file: null} for those that hold code.
import argparse
import collections
import json
import os
import sys

import torch

folder = sys.argv[1]
contents = {}


def written(name, value, tensors, **options):
    path = os.path.join(folder, name)
    torch.save(value, path, **options)
    contents[name] = tensors and {
        key: [str(t.dtype).split(".")[1], list(t.shape), t.reshape(-1).tolist()] for key, t in tensors.items()
    }


torch.manual_seed(1)
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
mixed = {
    "contiguous": base,
    "transposed": base.permute(2, 0, 1),
    "every second": base[:, ::2, 1:],
    "expanded": base[0, :1, :].expand(3, 4),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(3, 0),
    "channels last": torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last),
    "parameter": torch.nn.Parameter(torch.randn(3)),
}
for dtype in "float64 float16 bfloat16 int64 int32 int16 int8 uint8".split():
    mixed[dtype] = torch.tensor([1, 0, 100, 7]).to(getattr(torch, dtype))[1:]
mixed["halves"] = torch.tensor([1.5, -0.1, 65504, 6e-8, float("inf")]).half()
mixed["bool"] = torch.tensor([True, False, True])
for protocol in 2, 3, 4, 5:
    written(f"protocol-{protocol}.pth", mixed, mixed, pickle_protocol=protocol)
    written(f"stream-{protocol}.pth", mixed, mixed, pickle_protocol=protocol, _use_new_zipfile_serialization=False)

net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
state = net.state_dict()
optimizer = torch.optim.Adam(net.parameters())
net(torch.randn(2, 3, 4, 4)).sum().backward()
optimizer.step()
written("plain.pt", state, state)
average = torch.optim.swa_utils.AveragedModel(net)
average.update_parameters(net)
training = {"epoch": 3, "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(), "loss": [0.5, 0.25]}
written("checkpoint.pth", {**training, "state_dict": state, "lr": 1e-3, "device": torch.device("cpu")}, state)
wrapped = collections.OrderedDict((f"module._orig_mod.{k}", v) for k, v in state.items())
written("parallel.tar", {"model_state_dict": wrapped, "epoch": 2**40}, state)
written("averaged.pth", {**training, "model": {k: v + 1 for k, v in state.items()}, "model_ema": average.state_dict()}, state)
try:
    import numpy

    written("numpy.pth", {"net": state, "best": numpy.float64(0.75), "type": torch.float32}, state)
except ImportError:
    pass

for stream in False, True:
    form = {"_use_new_zipfile_serialization": not stream}
    written(f"module-{stream}.pth", net, None, **form)
    written(f"arguments-{stream}.pth", {"state_dict": state, "args": argparse.Namespace(lr=1)}, None, **form)
torch.jit.script(net).save(os.path.join(folder, "script.pt"))
contents["script.pt"] = None


class Command:
    def __reduce__(self):
        return os.system, (f"touch {folder}/executed",)


written("command.pth", {"state_dict": state, "x": Command()}, None)
print(json.dumps(contents))
