"""Many PAtt-Lite networks trained at once on one GPU, in PyTorch: for `recipe_search.py`.

A gradient step of one small network leaves a large GPU idle. Here the networks of all folds and
seeds stand side by side: maps have the shape (batch, networks × channels, height, width), so that
a grouped convolution, or a batched product of matrices, computes all of them. Each network has its
own weights, data, order, augmentation and settings.

The network is the library's: its layers are read off `build_network`, and so are its weights.
"""

import dataclasses
import math

import keras
import numpy as np
import torch
from torch.nn import functional

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.parts import to_numpy
from sklearn_patt_lite._network.patt_lite import BACKBONE, NORMALIZATION_MOMENTUM, build_network
from sklearn_patt_lite._network.weights import load_weights

N_CLASSES = 7
N_FILTERS = 256
MOMENTUM = 1 - NORMALIZATION_MOMENTUM


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is built, trained, and asked; those of a run share what fixes its shapes."""

    # Of all networks of a run
    input_size: int = 112
    batch_size: int = 32
    epochs: int = 20
    output_layer: str = "conv_dw_9_relu"
    head: str = "paper"  # or "mean", "concatenated", "pooled", "pooled 2x2"; see `_head`
    hidden_units: int = 32
    normalization: str = "refitted"  # of the backbone: "frozen", "adapts", or "refitted" first
    warmup_epochs: float = 2.0
    schedule: str = "cosine"  # or "constant"

    # Of each network
    learning_rate: float = 1e-3
    backbone_rate: float = 1.0  # times learning_rate
    layer_decay: float = 1.0  # of the rate, a block of the backbone, from its end
    weight_decay: float = 0.05
    smoothing: float = 0.1
    dropout: float = 0.1
    rotation: float = 10.0  # degrees, either way
    shift: float = 0.08  # of the side, either way
    smallest_crop: float = 0.85  # of the side
    largest_crop: float = 1.1
    contrast: float = 0.3
    erasing: float = 0.0  # chance that a rectangle is erased
    mixup: float = 0.0  # Beta's parameter
    clipnorm: float = 3.0
    averaging: float = 0.99  # of weights, a step


SHARED = (
    "input_size", "batch_size", "epochs", "output_layer", "head", "hidden_units",
    "normalization", "warmup_epochs", "schedule",
)  # fmt: skip


class Weights:
    """The weights of all networks in one tensor (networks, n), and each one's place in it."""

    def __init__(self, arrays, device):
        """From a list, a network, of arrays by name."""
        self.shapes = {name: array.shape for name, array in arrays[0].items()}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        ends = np.cumsum(sizes)
        self.slices = {
            name: slice(end - size, end)
            for name, size, end in zip(self.shapes, sizes, ends.tolist(), strict=True)
        }
        rows = [np.concatenate([a.ravel() for a in network.values()]) for network in arrays]
        self.flat = torch.tensor(np.stack(rows), dtype=torch.float32, device=device)

    def views(self, flat):
        """Each array of all networks, (networks, *shape)."""
        return {
            name: flat[:, self.slices[name]].reshape(len(flat), *shape)
            for name, shape in self.shapes.items()
        }

    def mask(self, is_in):
        """A vector that is 1 where `is_in(name)`."""
        mask = torch.zeros(self.flat.shape[1], device=self.flat.device)
        for name, place in self.slices.items():
            mask[place] = float(is_in(name))
        return mask


class Networks:
    """PAtt-Lite networks side by side.

    Parameters
    ----------
    recipe : Recipe
        Of all of them.
    seeds : list of int
        Of each one's head.
    device : torch.device
        Where they stand.
    """

    def __init__(self, recipe, seeds, device):
        architecture = Architecture(
            n_classes=N_CLASSES, image_shape=(48, 48, 1), input_size=recipe.input_size,
            output_layer=recipe.output_layer, patch_extraction=None, attention=None, augment=False,
        )  # fmt: skip
        network = build_network(architecture)
        load_weights(network, "imagenet", architecture)
        self.recipe, self.n = recipe, len(seeds)
        self.layers = network.get_layer(BACKBONE).layers[1:]
        backbone, statistics = {}, {}
        for layer in self.layers:
            for weight in layer.weights:
                name = f"{layer.name}/{weight.name}"
                target = statistics if weight.name.startswith("moving") else backbone
                target[name] = to_numpy(weight)
        side, depth = network.get_layer(BACKBONE).output.shape[2:]
        self.side, self.depth = int(side), int(depth)
        heads = [self._draw_head(seed) for seed in seeds]
        trained = [{**backbone, **weights} for weights, _ in heads]
        self.weights = Weights(trained, device)
        self.statistics = Weights([{**statistics, **moving} for _, moving in heads], device)
        self.n_parameters = self.weights.flat.shape[1] + self.statistics.flat.shape[1]

    def _draw_head(self, seed):
        rng = np.random.default_rng(seed)
        shapes, moving = head_shapes(self.recipe, self.side, self.depth)
        weights = {}
        for name, shape in shapes.items():
            if name.endswith("kernel"):
                receptive = math.prod(shape[:-2])
                limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
                weights[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
            else:
                weights[name] = np.full(shape, name.endswith("gamma"), dtype=np.float32)
        statistics = {
            name: np.full(shape, name.endswith("variance"), dtype=np.float32)
            for name, shape in moving.items()
        }
        return weights, statistics

    def __call__(self, flat, statistics, images, *, training, dropout=None, refit=False):
        """Map images (networks, batch, size, size), 0 to 255, to logits (networks, batch, classes).

        With `training`, BatchNormalization moves `statistics` in place.
        """
        w, s = self.weights.views(flat), self.statistics.views(statistics)
        n, batch, size, _ = images.shape
        x = (images / 127.5 - 1).transpose(0, 1)[:, :, None].expand(-1, -1, 3, -1, -1)
        x = x.reshape(batch, n * 3, size, size)
        adapts = training and self.recipe.normalization != "frozen"
        for layer in self.layers:
            x = self._apply(layer, x, w, s, adapts=adapts, refit=refit)
        return self._head(x, w, s, training=training, dropout=dropout)

    def _apply(self, layer, x, w, s, *, adapts, refit):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            (top, bottom), (left, right) = layer.padding
            return functional.pad(x, (left, right, top, bottom))
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            return depthwise(x, w[f"{layer.name}/kernel"], layer.strides[0], layer.padding)
        if isinstance(layer, keras.layers.Conv2D):
            kernel = w[f"{layer.name}/kernel"]
            if layer.kernel_size == (1, 1):
                return pointwise(x, kernel[:, 0, 0])
            return convolution(x, kernel, layer.strides[0], layer.padding)
        if isinstance(layer, keras.layers.BatchNormalization):
            if refit:
                self._refit(layer, x, w, s)
            return normalize(x, layer.name, w, s, adapts=adapts, epsilon=layer.epsilon)
        return functional.hardtanh(x, 0.0, 6.0)

    def _refit(self, layer, x, w, s):
        """Take over the statistics of these maps, and change scale and offset to make up for it."""
        mean, variance, gamma, beta = (
            (w if kind in ("gamma", "beta") else s)[f"{layer.name}/{kind}"]
            for kind in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        maps = x.reshape(x.shape[0], self.n, -1, *x.shape[2:])
        new_mean = maps.mean(dim=(0, 3, 4))
        new_variance = maps.var(dim=(0, 3, 4), unbiased=False)
        beta += gamma * (new_mean - mean) * torch.rsqrt(variance + layer.epsilon)
        gamma *= torch.sqrt((new_variance + layer.epsilon) / (variance + layer.epsilon))
        mean.copy_(new_mean)
        variance.copy_(new_variance)

    def _head(self, x, w, s, *, training, dropout):
        kind = self.recipe.head
        n, batch = self.n, x.shape[0]
        drop = Dropout(dropout if training else None)
        if kind.startswith("pooled"):
            # Straight from the backbone: its map averaged, or in 2×2 parts
            cells = functional.adaptive_avg_pool2d(x, 2 if kind == "pooled 2x2" else 1)
            flat = cells.reshape(batch, n, -1).transpose(0, 1)
            return linear(drop(flat), w, "probabilities")
        patch = 4 if self.side > 4 else 2
        x = separable(x, w, "patch_conv_1", patch)
        x = separable(x, w, "patch_conv_2", math.ceil(x.shape[-1] / 2))
        x = functional.relu(
            pointwise(x, w["patch_pointwise/kernel"][:, 0, 0])
            + w["patch_pointwise/bias"].reshape(1, -1, 1, 1)
        )
        tokens = x.reshape(batch, n, -1, x.shape[-2] * x.shape[-1]).permute(1, 0, 3, 2)
        tokens = drop(tokens)  # networks × batch × 4 × 256
        if kind == "concatenated":
            return linear(tokens.reshape(n, batch, -1), w, "probabilities")
        if "hidden/kernel" in w:
            tokens = functional.relu(linear(tokens, w, "hidden"))
            moved = tokens.permute(1, 0, 3, 2).reshape(batch, -1, tokens.shape[2], 1)
            moved = normalize(moved, "hidden_bn", w, s, adapts=training, epsilon=1e-3)
            tokens = moved.reshape(batch, n, -1, tokens.shape[2]).permute(1, 0, 3, 2)
        if kind == "paper":
            tokens = attend(tokens)
        return linear(drop(tokens.mean(dim=2)), w, "probabilities")


def head_shapes(recipe, side, depth):
    """Shapes of a head's trained weights, and of its moving statistics, by name."""
    filters, hidden, kind = N_FILTERS, recipe.hidden_units, recipe.head
    if kind.startswith("pooled"):
        width = depth * (4 if kind == "pooled 2x2" else 1)
        return dense("probabilities", width, N_CLASSES), {}
    patch = 4 if side > 4 else 2
    half = math.ceil(math.ceil(side / patch) / 2)
    shapes = {}
    for name, kernel, channels in (("patch_conv_1", patch, depth), ("patch_conv_2", half, filters)):
        shapes[f"{name}/depthwise_kernel"] = (kernel, kernel, channels, 1)
        shapes[f"{name}/pointwise_kernel"] = (1, 1, channels, filters)
        shapes[f"{name}/bias"] = (filters,)
    shapes["patch_pointwise/kernel"] = (1, 1, filters, filters)
    shapes["patch_pointwise/bias"] = (filters,)
    width, moving = filters, {}
    if hidden and kind != "concatenated":
        shapes |= dense("hidden", filters, hidden)
        shapes |= {"hidden_bn/gamma": (hidden,), "hidden_bn/beta": (hidden,)}
        moving = {"hidden_bn/moving_mean": (hidden,), "hidden_bn/moving_variance": (hidden,)}
        width = hidden
    if kind == "concatenated":
        width *= 4
    return shapes | dense("probabilities", width, N_CLASSES), moving


def dense(name, n_in, n_out):
    """Shapes of a dense layer."""
    return {f"{name}/kernel": (n_in, n_out), f"{name}/bias": (n_out,)}


class Dropout:
    """Drop values of (networks, …) tensors, each network's at its own rate."""

    def __init__(self, rates):
        self._rates = rates

    def __call__(self, x):
        if self._rates is None:
            return x
        rates = self._rates.reshape(-1, *[1] * (x.ndim - 1))
        return x * (torch.rand_like(x) >= rates) / (1 - rates)


def linear(x, w, name):
    """Apply a dense layer to (networks, …, channels)."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    y = torch.baddbmm(w[f"{name}/bias"][:, None], flat, w[f"{name}/kernel"])
    return y.reshape(*x.shape[:-1], -1)


def attend(tokens):
    """Dot-product attention over the tokens of each image."""
    scores = tokens @ tokens.transpose(-1, -2) / math.sqrt(tokens.shape[-1])
    return scores.softmax(dim=-1) @ tokens


def pointwise(x, kernel):
    """Convolve (batch, networks × channels, height, width) by 1×1 (networks, channels, filters)."""
    n, channels, filters = kernel.shape
    batch, _, height, width = x.shape
    columns = x.reshape(batch, n, channels, -1).permute(1, 2, 0, 3).reshape(n, channels, -1)
    y = torch.bmm(kernel.transpose(1, 2), columns).reshape(n, filters, batch, -1)
    return y.permute(2, 0, 1, 3).reshape(batch, n * filters, height, width)


def convolution(x, kernel, stride, padding):
    """Convolve by kernels (networks, side, side, channels, filters)."""
    n, side, _, channels, filters = kernel.shape
    kernel = kernel.permute(0, 4, 3, 1, 2).reshape(n * filters, channels, side, side)
    return functional.conv2d(padded(x, side, stride, padding), kernel, stride=stride, groups=n)


def depthwise(x, kernel, stride, padding):
    """Convolve each channel by kernels (networks, side, side, channels, 1)."""
    n, side, _, channels, _ = kernel.shape
    kernel = kernel.permute(0, 3, 4, 1, 2).reshape(n * channels, 1, side, side)
    x = padded(x, side, stride, padding)
    return functional.conv2d(x, kernel, stride=stride, groups=n * channels)


def padded(x, side, stride, padding):
    """Pad as Keras does."""
    if padding == "valid":
        return x
    missing = max((math.ceil(x.shape[-1] / stride) - 1) * stride + side - x.shape[-1], 0)
    before, after = missing // 2, missing - missing // 2
    return functional.pad(x, (before, after, before, after))


def separable(x, w, name, patch):
    """Apply a separable convolution whose stride is its kernel's side, and ReLU."""
    x = depthwise(x, w[f"{name}/depthwise_kernel"], patch, "same")
    x = pointwise(x, w[f"{name}/pointwise_kernel"][:, 0, 0])
    return functional.relu(x + w[f"{name}/bias"].reshape(1, -1, 1, 1))


def normalize(x, name, w, s, *, adapts, epsilon):
    """Apply BatchNormalization; where it adapts, its statistics move."""
    mean, variance = s[f"{name}/moving_mean"], s[f"{name}/moving_variance"]
    moving = mean.reshape(-1).clone(), variance.reshape(-1).clone()
    y = functional.batch_norm(
        x, *moving, w[f"{name}/gamma"].reshape(-1), w[f"{name}/beta"].reshape(-1),
        training=adapts, momentum=MOMENTUM, eps=epsilon,
    )  # fmt: skip
    if adapts:
        with torch.no_grad():
            mean.copy_(moving[0].view_as(mean))
            variance.copy_(moving[1].view_as(variance))
    return y


def augment(images, size, settings):
    """Flip, turn, shift, crop, change in contrast and erase; (networks, batch, 48, 48) to `size`.

    `settings` are tensors (networks,) by name.
    """
    n, batch = images.shape[:2]

    def drawn(low=-1.0, high=1.0):
        return torch.rand(n, batch, device=images.device) * (high - low) + low

    def of(name):
        return settings[name][:, None]

    angle = drawn() * of("rotation") * (math.pi / 180)
    low, high = of("smallest_crop").log(), of("largest_crop").log()
    scale = (low + (high - low) * drawn(0.0)).exp()
    flip = torch.where(drawn() < 0, -1.0, 1.0)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = 2 * of("shift")
    rows = [cos * flip, -sin, drawn() * shift, sin * flip, cos, drawn() * shift]
    x = resize(images, size, torch.stack(rows, dim=-1).reshape(n, batch, 2, 3))
    mean = x.mean(dim=(2, 3), keepdim=True)
    factor = 1 + drawn()[..., None, None] * of("contrast")[..., None, None]
    x = ((x - mean) * factor + mean).clamp(0, 255)
    return erase(x, drawn, of("erasing"))


def erase(x, drawn, chance):
    """Fill a rectangle of 2 to 25 % of an image, half to twice as high as wide, with noise."""
    size = x.shape[-1]
    area, ratio = drawn(0.02, 0.25), drawn(math.log(0.5), math.log(2)).exp()
    half_height, half_width = (area * ratio).sqrt() / 2, (area / ratio).sqrt() / 2
    row = half_height + drawn(0.0) * (1 - 2 * half_height)
    column = half_width + drawn(0.0) * (1 - 2 * half_width)
    position = (torch.arange(size, device=x.device) + 0.5) / size
    rows = (position - row[..., None]).abs() < half_height[..., None]
    columns = (position - column[..., None]).abs() < half_width[..., None]
    hole = rows[..., :, None] & columns[..., None, :] & (drawn(0.0) < chance)[..., None, None]
    return torch.where(hole, torch.rand_like(x) * 255, x)


def resize(images, size, transforms=None):
    """Resample (networks, batch, side, side) at `size`, bilinearly, moved by affine transforms."""
    n, batch, side, _ = images.shape
    x = images.reshape(n * batch, 1, side, side)
    if transforms is None:
        x = functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        return x.reshape(n, batch, size, size)
    grid = functional.affine_grid(
        transforms.reshape(n * batch, 2, 3), (n * batch, 1, size, size), align_corners=False
    )
    x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return x.reshape(n, batch, size, size)


def train(recipes, seeds, images, labels, train_rows, test_rows, *, device):
    """Train networks side by side.

    Parameters
    ----------
    recipes : list of Recipe
        One a network; the same in what all of a run share.
    seeds : list of int
        Of each network's head and order.
    images : ndarray of shape (n, 48, 48)
        All images.
    labels : ndarray of shape (n,)
        Their classes.
    train_rows, test_rows : list of ndarray
        What each network is trained on, and what it is asked about.
    device : str
        "cuda" or "cpu".

    Returns
    -------
    ndarray of shape (networks, 2, 2, n_test, classes)
        Probabilities, of the plain (0) and the averaged weights (1), of an image alone (0) and
        with its mirror image (1). Of networks with fewer test rows than others, further ones mean
        nothing.
    """
    return _Run(recipes, seeds, images, labels, train_rows, test_rows, device).train()


class _Run:
    def __init__(self, recipes, seeds, images, labels, train_rows, test_rows, device):
        self.shared = recipes[0]
        if any(getattr(r, name) != getattr(self.shared, name) for r in recipes for name in SHARED):
            raise ValueError(f"Networks of a run share {', '.join(SHARED)}.")
        self.device = torch.device(device)
        self.images = torch.tensor(images, dtype=torch.float32, device=self.device)
        self.labels = torch.tensor(labels, dtype=torch.int64, device=self.device)
        self.train_rows, self.test_rows, self.seeds = train_rows, test_rows, seeds
        self.networks = Networks(self.shared, seeds, self.device)
        names = [f.name for f in dataclasses.fields(Recipe) if f.name not in SHARED]
        self.settings = {
            name: torch.tensor([float(getattr(r, name)) for r in recipes], device=self.device)
            for name in names
        }
        self.mixup = [r.mixup for r in recipes]
        counts = np.stack([np.bincount(labels[rows], minlength=N_CLASSES) for rows in train_rows])
        balance = counts.sum(1, keepdims=True) / (N_CLASSES * np.maximum(counts, 1))
        self.balance = torch.tensor(balance, dtype=torch.float32, device=self.device)
        self.n_steps = math.ceil(min(map(len, train_rows)) / self.shared.batch_size)
        self._prepare()

    def _prepare(self):
        n, weights = self.networks.n, self.networks.weights
        backbone_names = {layer.name for layer in self.networks.layers}
        blocks = {layer.name: _block(layer.name) for layer in self.networks.layers}
        last = max(blocks.values())
        decay = self.settings["layer_decay"][:, None]
        rates = torch.ones(n, weights.flat.shape[1], device=self.device)
        for name, place in weights.slices.items():
            layer = name.split("/")[0]
            if layer in backbone_names:
                rate = self.settings["backbone_rate"][:, None] * decay ** (last - blocks[layer])
                rates[:, place] = rate
                if self.shared.normalization == "frozen" and "_bn" in layer:
                    rates[:, place] = 0.0
        self.rates = rates
        decayed = weights.mask(lambda name: name.endswith("kernel"))
        self.decayed = decayed * self.settings["weight_decay"][:, None]
        self.flat = weights.flat.clone().requires_grad_()
        self.statistics = self.networks.statistics.flat
        if self.shared.normalization == "refitted":
            self._refit()
        self.averaged = self.flat.detach().clone()
        self.averaged_statistics = self.statistics.clone()
        self.first, self.second = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        batch = self.shared.batch_size
        self.rows = torch.zeros(n, batch, dtype=torch.int64, device=self.device)
        self.mixed = torch.ones(n, batch, device=self.device)
        self.schedule = torch.zeros((), device=self.device)
        self.step = torch.zeros((), device=self.device)

    @torch.no_grad()
    def _refit(self):
        rows = [np.resize(np.random.default_rng(0).permutation(r), 256) for r in self.train_rows]
        x = self.images[torch.tensor(np.stack(rows), device=self.device)]
        x = resize(x, self.shared.input_size)
        self.networks(self.flat.detach(), self.statistics, x, training=False, refit=True)

    def _take_step(self):
        x, y = self.images[self.rows], self.labels[self.rows]
        x = augment(x, self.shared.input_size, self.settings)
        weights = self.balance.gather(1, y)
        smoothing = self.settings["smoothing"][:, None, None]
        targets = functional.one_hot(y, N_CLASSES) * (1 - smoothing) + smoothing / N_CLASSES
        targets = targets * weights[..., None]
        if any(self.mixup):
            share = self.mixed[..., None]
            x = x * share[..., None] + x.flip(1) * (1 - share[..., None])
            targets = targets * share + targets.flip(1) * (1 - share)
        with torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.device.type == "cuda",
            cache_enabled=False,
        ):
            logits = self.networks(
                self.flat, self.statistics, x, training=True, dropout=self.settings["dropout"]
            )
        losses = -(targets * logits.float().log_softmax(dim=-1)).sum(dim=-1).mean(dim=1)
        (gradient,) = torch.autograd.grad(losses.sum(), self.flat)
        with torch.no_grad():
            self._update(gradient * (self.rates > 0))

    def _update(self, gradient):
        clip = self.settings["clipnorm"][:, None]
        gradient = gradient * (clip / gradient.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(
            max=1
        )
        self.step += 1
        self.first.lerp_(gradient, 0.1)
        self.second.lerp_(gradient**2, 0.001)
        first = self.first / (1 - 0.9**self.step)
        second = self.second / (1 - 0.999**self.step)
        rate = self.schedule * self.settings["learning_rate"][:, None] * self.rates
        self.flat -= rate * (first / (second.sqrt() + 1e-7) + self.decayed * self.flat)
        kept = torch.minimum(
            self.settings["averaging"][:, None], (1 + self.step) / (10 + self.step)
        )
        self.averaged.lerp_(self.flat, 1 - kept)
        self.averaged_statistics.lerp_(self.statistics, 1 - kept)

    def _compile(self):
        """Record a step on a GPU, to replay it: launching its kernels takes longer than they do."""
        if self.device.type != "cuda":
            return self._take_step
        kept = [self.flat.detach(), self.statistics, self.averaged, self.averaged_statistics,
                self.first, self.second, self.step]  # fmt: skip
        before = [tensor.clone() for tensor in kept]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._take_step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._take_step()
        for tensor, value in zip(kept, before, strict=True):
            tensor.copy_(value)
        return graph.replay

    def train(self):
        batch = self.shared.batch_size
        rngs = [np.random.default_rng(seed) for seed in self.seeds]
        take_step = self._compile()
        n_done = 0
        for _ in range(self.shared.epochs):
            orders = [
                np.resize(rng.permutation(rows), self.n_steps * batch)
                for rng, rows in zip(rngs, self.train_rows, strict=True)
            ]
            orders = torch.tensor(np.stack(orders)).to(self.device)
            for step in range(self.n_steps):
                self.rows.copy_(orders[:, step * batch : (step + 1) * batch])
                if any(self.mixup):
                    self.mixed.copy_(self._draw_mixed(rngs))
                self.schedule.fill_(self._rate_at(n_done))
                take_step()
                n_done += 1
        return self._answer()

    def _draw_mixed(self, rngs):
        """Each network's share of the image itself; the same in a batch read from its end."""
        shares = [rng.beta(a, a) if a else 1.0 for a, rng in zip(self.mixup, rngs, strict=True)]
        shares = np.maximum(shares, np.subtract(1, shares))
        return torch.tensor(shares, dtype=torch.float32)[:, None].expand(-1, self.shared.batch_size)

    def _rate_at(self, step):
        warm = self.shared.warmup_epochs * self.n_steps
        if step < warm:
            return (step + 1) / warm
        if self.shared.schedule == "constant":
            return 1.0
        done = (step - warm) / (self.shared.epochs * self.n_steps - warm)
        return 0.5 * (1 + math.cos(math.pi * done))

    @torch.no_grad()
    def _answer(self):
        longest = max(map(len, self.test_rows))
        rows = torch.tensor(np.stack([np.resize(rows, longest) for rows in self.test_rows]))
        states = [(self.flat.detach(), self.statistics), (self.averaged, self.averaged_statistics)]
        answers = []
        for state in states:
            plain, mirrored = [], []
            for some in rows.to(self.device).split(64, dim=1):
                x = resize(self.images[some], self.shared.input_size)
                for images, into in ((x, plain), (x.flip(-1), mirrored)):
                    logits = self.networks(*state, images, training=False)
                    into.append(logits.softmax(dim=-1))
            plain, mirrored = torch.cat(plain, dim=1), torch.cat(mirrored, dim=1)
            answers.append(torch.stack([plain, (plain + mirrored) / 2], dim=1))
        return torch.stack(answers, dim=1).cpu().numpy()


def _block(name):
    """Number of the block that a layer of MobileNetV1 is in; 0 for the first convolution."""
    parts = name.split("_")
    numbers = [int(part) for part in parts if part.isdigit()]
    return numbers[0] if numbers else 0
