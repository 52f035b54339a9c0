"""MobileNetV2 in plain PyTorch with torchvision's parameter names and TF SAME padding, and its weights. No training loop."""
import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

# t, c, n, s of the V2 paper's table 2
SETTING = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class SameConv2d(nn.Conv2d):
    """3x3 convolution padded as TensorFlow pads: at stride 2 and even input sizes only right and bottom."""

    def __init__(self, cin, cout, stride, groups=1):
        super().__init__(cin, cout, 3, stride, 0 if stride == 2 else 1, groups=groups, bias=False)

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride == (2, 2) else x)


def conv_bn_relu6(cin, cout, kernel=1, stride=1, groups=1):
    conv = SameConv2d(cin, cout, stride, groups) if kernel == 3 else nn.Conv2d(cin, cout, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout, eps=1e-3), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        hidden = cin * expand
        layers = [conv_bn_relu6(cin, hidden)] if expand != 1 else []
        layers += [conv_bn_relu6(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, cout, 1, bias=False), nn.BatchNorm2d(cout, eps=1e-3)]
        self.conv = nn.Sequential(*layers)
        self.skip = stride == 1 and cin == cout

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes):
        super().__init__()
        features, cin = [conv_bn_relu6(3, 32, 3, 2)], 32
        for t, c, n, s in SETTING:
            for i in range(n):
                features.append(InvertedResidual(cin, c, s if i == 0 else 1, t))
                cin = c
        features.append(conv_bn_relu6(cin, 1280))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def load(weights, classes):
    torch.manual_seed(0)
    model = MobileNetV2(classes)
    missing, unexpected = model.load_state_dict(load_file(weights), strict=False)
    assert not unexpected and all(name.startswith("classifier.") for name in missing), (missing, unexpected)
    return model


def freeze_first(model, blocks):
    """Freezes features[:blocks]: no gradients, running statistics fixed (eval mode), as Keras' trainable=False does."""
    for block in model.features[:blocks]:
        block.eval()
        for p in block.parameters():
            p.requires_grad_(False)


def train_mode(model, frozen):
    model.train()
    for block in model.features[:frozen]:
        block.eval()


def normalise(u8):
    """uint8 [N, 3, H, W] -> float32 in [-1, 1], the preprocessing of these weights."""
    return u8.float().div_(127.5).sub_(1)


def versions():
    import PIL
    import numpy
    return {"torch": torch.__version__, "pillow": PIL.__version__, "numpy": numpy.__version__, "safetensors": safetensors.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            **({"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()} if torch.cuda.is_available() else {})}
