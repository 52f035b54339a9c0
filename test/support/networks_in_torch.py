"""What scripts on torch's networks share: torchvision, and networks whose statistics fit their weights."""

import torch

# torchvision's compiled operators want the CUDA build of torch where PyPI's wheel meets a torch for the CPU. The
# networks need none of them; what it registers about them must not stop the import.
register = torch.library.register_fake
torch.library.register_fake = lambda name, *a, **k: (
    (lambda f: f) if name.startswith("torchvision::") else register(name, *a, **k)
)
import torchvision  # noqa: E402, F401


def settle(model, images, std):
    """Random scales and heads (weights of deviation `std`), and the statistics of `images`."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=std)
            torch.nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        model.train()(images)
