"""The bench cases in PyTorch, for the three styles of writing it (pytorch_eager, pytorch_best, pytorch_cached). Owns no model."""
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

import torch_model as M
from image_folder import SIZE, decode, list_images, split
from protocol import Skip, arguments, peak_memory_mib, send, serve


@dataclass
class Style:
    """channels_last: memory format; decode_once: keep decoded images; cache: keep frozen features; freezing: torch.compile for
    inference, with its mode; compiled: torch.compile for training, with its mode."""

    precisions: tuple
    channels_last: bool = False
    decode_once: bool = False
    cache: bool = False
    freezing: bool = False
    compiled: bool = False
    mode: str = "default"


class Scenes(Dataset):
    """What one writes for an image folder: decoded again in every epoch."""

    def __init__(self, files, labels):
        self.files, self.labels = files, labels

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return M.normalise(torch.from_numpy(decode(self.files[i]).transpose(2, 0, 1).copy())), self.labels[i]


class Peer:
    def __init__(self, style, options):
        self.style, self.options = style, options
        self.device = torch.device(options.device)
        self.cuda = self.device.type == "cuda"
        torch.set_num_threads(options.threads)
        torch.backends.cudnn.benchmark = style.channels_last  # shapes repeat; as people write it, nobody says so
        if style.freezing or style.compiled:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(options.cache, "inductor"))

    def precision(self, name):
        if name not in self.style.precisions:
            raise Skip(f"{name} is not part of this way of writing it")
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=name == "bf16")

    def model(self, classes, frozen=0):
        model = M.load(self.options.weights, classes)
        M.freeze_first(model, frozen)
        model = model.to(self.device)
        return model.to(memory_format=torch.channels_last) if self.style.channels_last else model

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def layout(self, x):
        return x.contiguous(memory_format=torch.channels_last) if self.style.channels_last else x.contiguous()

    def optimizer(self, model, lr, momentum):
        trainable = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.SGD(trainable, lr=lr, momentum=momentum, fused=self.style.channels_last or None)

    def pixels(self, count):
        """[count, 3, 224, 224] float32 of real images on the device, and their labels."""
        files, labels, classes = list_images(self.options.data)
        chosen = [(i * 997) % len(files) for i in range(count)]
        u8 = torch.from_numpy(np.stack([decode(files[i]) for i in chosen])).permute(0, 3, 1, 2)
        return self.layout(M.normalise(u8.to(self.device))), torch.tensor([labels[i] for i in chosen], device=self.device), len(classes)

    def prepare(self, request):
        case = request["case"]
        if case == "train-step":
            return self.train_step(request)
        if case == "infer":
            return self.infer(request)
        if case == "decode":
            return self.decode(request)
        raise Skip(f"no case '{case}'")

    def train_step(self, request):
        autocast, frozen = self.precision(request["precision"]), request["frozen"]
        if self.style.cache and not frozen:
            raise Skip("nothing is frozen, so there is nothing to cache: see pytorch-best")
        x, y, classes = self.pixels(request["batch"])
        model = self.model(classes, frozen)
        M.train_mode(model, frozen)
        first = 0
        if self.style.cache:
            with torch.inference_mode(), autocast:
                x = model.features[:frozen](x)
            x, first = x.clone(), frozen
        optimizer = self.optimizer(model, 1e-3, 0.9)
        features = model.features[first:]

        def loss_of(x, y):
            return F.cross_entropy(model.classifier(features(x).mean((2, 3))), y)

        forward = torch.compile(loss_of, mode=self.style.mode) if self.style.compiled else loss_of

        def step():
            optimizer.zero_grad()
            with autocast:
                loss = forward(x, y)
            loss.backward()
            optimizer.step()
            return loss

        def measure(units):
            if self.cuda:  # nobody waits for a loss in every step: the whole run is timed
                self.sync()
                start = time.perf_counter()
                for _ in range(units):
                    step()
                self.sync()
                return [(time.perf_counter() - start) / units] * units
            seconds = []
            for _ in range(units):
                start = time.perf_counter()
                step().item()
                seconds.append(time.perf_counter() - start)
            return seconds

        measure(6 if self.cuda else 2)
        return measure

    def infer(self, request):
        if self.style.cache:
            raise Skip("inference has nothing to cache: see pytorch-best")
        autocast = self.precision(request["precision"])
        x, _, classes = self.pixels(request["batch"])
        model = self.model(classes).eval()
        if self.style.freezing:
            import torch._inductor.config as inductor

            inductor.freezing = True
            if self.cuda and request["precision"] == "bf16":  # nothing left to cast in a run
                model, x, autocast = model.bfloat16(), x.bfloat16(), contextlib.nullcontext()
            model = torch.compile(model, mode=self.style.mode)

        def measure(units):
            seconds = []
            with torch.no_grad(), autocast:
                for _ in range(units):
                    start = time.perf_counter()
                    model(x).float().cpu().numpy()
                    seconds.append(time.perf_counter() - start)
            return seconds

        measure(6 if self.cuda else 3)
        return measure

    def decode(self, request):
        """All images once: through a DataLoader as written, or into one uint8 array (and from a saved one when `cached`)."""
        files, labels, _ = list_images(self.options.data)
        files = (files * (request["images"] // len(files) + 1))[: request["images"]]
        saved = os.path.join(self.options.cache, "decoded.npy")
        if request["cached"]:
            if not self.style.decode_once:
                raise Skip("decodes again every time")
            np.save(saved, self.decode_all(files).numpy())

        def measure(units):
            start = time.perf_counter()
            for _ in range(units):
                if request["cached"]:
                    int(np.load(saved).sum(dtype=np.int64))  # reads every byte
                elif self.style.decode_once:
                    self.decode_all(files)
                else:
                    for _batch in DataLoader(Scenes(files, [0] * len(files)), batch_size=16, num_workers=self.options.threads):
                        pass
            return [(time.perf_counter() - start) / units]

        return measure

    def decode_all(self, files, each=None):
        """[N, 224, 224, 3] uint8; Pillow releases the interpreter lock while it decodes, so threads do."""
        images = torch.empty((len(files), SIZE, SIZE, 3), dtype=torch.uint8)

        def one(i):
            images[i] = torch.from_numpy(decode(files[i]).copy())

        with ThreadPoolExecutor(self.options.threads) as pool:
            for i, _ in enumerate(pool.map(one, range(len(files)))):
                if each:
                    each(i + 1, images)
        return images

    # --- the whole reference job: frozen backbone, head trained with batch 16, validation each epoch, one checkpoint

    def job(self):
        o = self.options
        autocast = self.precision(o.precision)
        files, labels, classes = list_images(o.data)
        train, valid = split(labels)
        model, y = self.model(len(classes), 19), torch.tensor(labels)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        if self.style.cache:
            batches = self.cached_batches(model, files, y, autocast)
        elif self.style.decode_once:
            u8 = self.decode_all(files).permute(0, 3, 1, 2)  # channels_last already

            def batches(rows, shuffle):
                order = torch.tensor(rows)[torch.randperm(len(rows))] if shuffle else torch.tensor(rows)
                for i in order.split(16):
                    yield M.normalise(u8[i].contiguous(memory_format=torch.channels_last)), y[i]

        else:

            def batches(rows, shuffle):
                data = Scenes([files[i] for i in rows], [labels[i] for i in rows])
                return DataLoader(data, batch_size=16, shuffle=shuffle, num_workers=o.threads)

        def forward(x):
            return model.classifier(x) if self.style.cache else model(x)

        measured = min(o.measure_epochs or o.epochs, o.epochs)
        for epoch in range(1, measured + 1):
            start = time.perf_counter()
            M.train_mode(model, 19)
            for x, target in batches(train, True):
                x, target = x.to(self.device), target.to(self.device)
                optimizer.zero_grad()
                with autocast:
                    loss = F.cross_entropy(forward(x), target)
                loss.backward()
                optimizer.step()
                loss.item()
            model.eval()
            correct = 0
            with torch.no_grad(), autocast:
                for x, target in batches(valid, False):
                    x, target = x.to(self.device), target.to(self.device)
                    correct += (forward(x).argmax(1) == target).sum().item()
            send(type="epoch", epoch=epoch, seconds=time.perf_counter() - start, accuracy=correct / len(valid))
        save_file({k: v.contiguous().cpu() for k, v in model.state_dict().items()}, o.out)
        send(type="done", measuredEpochs=measured, epochs=o.epochs, peakMiB=peak_memory_mib(), versions=M.versions())

    def cached_batches(self, model, files, y, autocast):
        """Features of every image once, BatchNorm folded, while the decoder goes on in its threads."""
        from torch.fx.experimental.optimization import fuse

        backbone = fuse(model.features.eval())
        features = torch.empty(len(files), 1280)

        def run(start, end, images):
            with torch.inference_mode(), autocast:
                x = M.normalise(images[start:end].to(self.device).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last))
                features[start:end] = backbone(x).mean((2, 3)).float().cpu()

        def each(done, images):
            if done % 32 == 0 or done == len(files):
                run((done - 1) // 32 * 32, done, images)

        self.decode_all(files, each)

        def batches(rows, shuffle):
            order = torch.tensor(rows)[torch.randperm(len(rows))] if shuffle else torch.tensor(rows)
            return ((features[i], y[i]) for i in order.split(16))

        return batches


def main(style):
    options = arguments()
    os.makedirs(options.cache, exist_ok=True)
    peer = Peer(style, options)
    if options.mode == "job":
        peer.job()
    else:
        serve(M.versions(), peer.prepare)
