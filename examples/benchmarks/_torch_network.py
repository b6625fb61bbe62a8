"""PAtt-Lite in pure PyTorch, with weights under Keras' names, for `whole_fer2013.py`.

Shapes, without the batch, at 112 pixels::

    images 112×112 → MobileNetV1 to conv_dw_9_relu                 512×7×7
      → separable convolutions, pointwise convolution              256×2×2
      → 4 tokens of 256 → dense, ReLU, BatchNormalization          4×32
      → attention over the tokens → mean → dense                   classes
"""

import dataclasses
import json
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MOMENTUM = 0.1  # of a batch's statistics: 1 minus the library's NORMALIZATION_MOMENTUM
EPSILON = 1e-3  # Keras' own
STRIDED_BLOCKS = (2, 4, 6, 12)  # MobileNetV1's


@dataclasses.dataclass(frozen=True)
class Form:
    """What determines a network's shapes, apart from its backbone's weights."""

    n_classes: int = 7
    input_size: int = 112
    patch_size: int = 4  # side of the first separable convolution's kernel
    patch_stride: int = 4  # in the library, it equals the kernel size
    attention: str = "hidden"  # after the dense layer, or "tokens": before it
    n_filters: int = 256
    hidden_units: int = 32

    @property
    def is_librarys(self):
        """Whether `PAttLiteClassifier` can build it."""
        return self.patch_stride == self.patch_size and self.attention == "hidden"


class Network(nn.Module):
    """A network with a pretrained backbone, or with all weights of an earlier network.

    Parameters
    ----------
    form : Form
        Form of the network.
    arrays : dict
        Keras' arrays by name; if they are only the backbone's, the head is drawn at random.
    seed : int
        Seed of the head.
    layout : torch.memory_format
        Memory format of the feature maps.
    """

    def __init__(self, form, arrays, seed=0, layout=torch.channels_last):
        super().__init__()
        self.form, self.layout = form, layout
        self.n_blocks = max(
            int(name.split("/")[0].split("_")[2]) for name in arrays if "conv_dw" in name
        )
        if "probabilities/kernel" not in arrays:
            arrays = {**arrays, **self._draw_head(arrays, seed)}
        self.weights = nn.ParameterDict()
        self.statistics = nn.Module()
        for name, array in arrays.items():
            tensor = torch.tensor(to_torch(name, array), dtype=torch.float32)
            if "moving" in name:
                self.statistics.register_buffer(name, tensor)
            else:
                self.weights[name] = nn.Parameter(tensor)

    def _draw_head(self, arrays, seed):
        form, rng = self.form, np.random.default_rng(seed)
        depth = arrays[f"conv_dw_{self.n_blocks}/kernel"].shape[2]
        weights = {}
        for name, shape in head_shapes(form, depth, self._grid_side()).items():
            if name.endswith("kernel"):  # Glorot uniform, as in Keras
                receptive = math.prod(shape[:-2])
                limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
                weights[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
            else:
                weights[name] = np.full(shape, name.endswith(("gamma", "variance")), np.float32)
        return weights

    def _grid_side(self):
        n_halvings = 1 + sum(block <= self.n_blocks for block in STRIDED_BLOCKS)
        return math.ceil(self.form.input_size / 2**n_halvings)

    def forward(self, images, *, dropout=0.0, refit=False):
        """Map images (n, size, size), 0 to 255, to logits (n, classes).

        With `refit`, BatchNormalization takes over the statistics of these images, and changes its
        scale and offset to compensate: see the library's `refit_normalization`.
        """
        return self._classify(self.tokens(images, refit=refit), dropout)

    def tokens(self, images, *, refit=False):
        """Map images to tokens, one per patch: (n, 4, 256)."""
        # A one-channel tensor has no definite layout, and convolutions keep that of their input.
        x = self._first((images / 127.5 - 1)[:, None]).contiguous(memory_format=self.layout)
        x = self._normalize(x, "conv1_bn", refit)
        for block in range(1, self.n_blocks + 1):
            stride = 2 if block in STRIDED_BLOCKS else 1
            x = depthwise(x, self.weights[f"conv_dw_{block}/kernel"], stride)
            x = self._normalize(x, f"conv_dw_{block}_bn", refit)
            if block < self.n_blocks:
                x = functional.conv2d(x, self.weights[f"conv_pw_{block}/kernel"])
                x = self._normalize(x, f"conv_pw_{block}_bn", refit)
        return self._extract_patches(x)

    def _first(self, x):
        """Convolve grey images with an RGB kernel, summed because all channels are the same."""
        kernel = self.weights["conv1/kernel"].sum(dim=1, keepdim=True)
        return functional.conv2d(padded(x, 3, 2), kernel, stride=2)

    def _normalize(self, x, name, refit):
        if refit:
            self._refit(x, name)
        x = self._batch_norm(x, name)
        return functional.relu6(x)

    def _batch_norm(self, x, name):
        statistics = self.statistics.get_buffer
        return functional.batch_norm(
            x, statistics(f"{name}/moving_mean"), statistics(f"{name}/moving_variance"),
            self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"],
            training=self.training, momentum=MOMENTUM, eps=EPSILON,
        )  # fmt: skip

    def _refit(self, x, name):
        gamma, beta = (self.weights[f"{name}/{kind}"] for kind in ("gamma", "beta"))
        mean, variance = (
            self.statistics.get_buffer(f"{name}/moving_{kind}") for kind in ("mean", "variance")
        )
        new_variance, new_mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        factor = gamma / (variance + EPSILON).sqrt()
        beta += factor * (new_mean - mean)
        gamma.copy_(factor * (new_variance + EPSILON).sqrt())
        mean.copy_(new_mean)
        variance.copy_(new_variance)

    def _extract_patches(self, x):
        w = self.weights
        x = self._separable(x, "patch_conv_1", self.form.patch_stride)
        x = self._separable(x, "patch_conv_2", math.ceil(x.shape[-1] / 2))
        x = functional.conv2d(x, w["patch_pointwise/kernel"], w["patch_pointwise/bias"])
        return functional.relu(x).flatten(2).transpose(1, 2)  # n × 4 × 256

    def _separable(self, x, name, stride):
        x = depthwise(x, self.weights[f"{name}/depthwise_kernel"], stride)
        kernel, bias = self.weights[f"{name}/pointwise_kernel"], self.weights[f"{name}/bias"]
        return functional.relu(functional.conv2d(x, kernel, bias))

    def _classify(self, tokens, dropout):
        if self.form.attention == "tokens":
            pooled = attend(tokens).mean(dim=1)  # n × 256
            pooled = self._hidden(functional.dropout(pooled, dropout, self.training))
        else:
            tokens = self._hidden(functional.dropout(tokens, dropout, self.training))
            pooled = attend(tokens).mean(dim=1)  # n × 32
        return self._dense(pooled, "probabilities")

    def _hidden(self, x):
        x = functional.relu(self._dense(x, "hidden"))
        return self._batch_norm(x.flatten(0, -2), "hidden_bn").view_as(x)

    def _dense(self, x, name):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def arrays(self):
        """Get Keras' arrays by name, in float32."""
        tensors = {**self.weights, **dict(self.statistics.named_buffers())}
        return {name: to_keras(name, t.detach().cpu().numpy()) for name, t in tensors.items()}

    @property
    def n_parameters(self):
        """Number of parameters, including running statistics of BatchNormalization."""
        return sum(array.size for array in self.arrays().values())


def head_shapes(form, depth, side):
    """Get the shapes of a head's arrays, by Keras' names."""
    filters, hidden, kernel = form.n_filters, form.hidden_units, form.patch_size
    half = math.ceil(math.ceil(side / form.patch_stride) / 2)
    shapes = {}
    for name, size, channels in (("patch_conv_1", kernel, depth), ("patch_conv_2", half, filters)):
        shapes[f"{name}/depthwise_kernel"] = (size, size, channels, 1)
        shapes[f"{name}/pointwise_kernel"] = (1, 1, channels, filters)
        shapes[f"{name}/bias"] = (filters,)
    shapes["patch_pointwise/kernel"] = (1, 1, filters, filters)
    shapes["patch_pointwise/bias"] = (filters,)
    shapes |= {"hidden/kernel": (filters, hidden), "hidden/bias": (hidden,)}
    kinds = ("gamma", "beta", "moving_mean", "moving_variance")
    shapes |= {f"hidden_bn/{kind}": (hidden,) for kind in kinds}
    n = form.n_classes
    return shapes | {"probabilities/kernel": (hidden, n), "probabilities/bias": (n,)}


def depthwise(x, kernel, stride):
    """Convolve each channel with its kernel (channels, 1, side, side), padded as Keras does."""
    x = padded(x, kernel.shape[-1], stride)
    return functional.conv2d(x, kernel, stride=stride, groups=len(kernel))


def padded(x, side, stride):
    """Pad with zeros, so that a kernel of this size covers each cell."""
    missing = max((math.ceil(x.shape[-1] / stride) - 1) * stride + side - x.shape[-1], 0)
    before, after = missing // 2, missing - missing // 2
    return functional.pad(x, (before, after, before, after)) if missing else x


def attend(tokens):
    """Attend over the tokens of each image: softmax(QKᵀ/√d)V, Q = K = V."""
    scores = tokens @ tokens.transpose(-1, -2) / math.sqrt(tokens.shape[-1])
    return scores.softmax(dim=-1) @ tokens


def to_torch(name, array):
    """Convert a kernel from Keras' layout to PyTorch's; dense ones stay the same."""
    if array.ndim != 4:
        return array
    return array.transpose(2, 3, 0, 1) if _is_depthwise(name) else array.transpose(3, 2, 0, 1)


def to_keras(name, array):
    """Undo `to_torch`."""
    if array.ndim != 4:
        return array
    return array.transpose(2, 3, 0, 1) if _is_depthwise(name) else array.transpose(2, 3, 1, 0)


def _is_depthwise(name):
    return "conv_dw" in name or name.endswith("depthwise_kernel")


def save(network, path):
    """Write a network's arrays and its form to an .npz of 4.4 MB, for `_keras_network.build`."""
    form = json.dumps(dataclasses.asdict(network.form))
    np.savez(path, form=np.array(form), **network.arrays())


def load(path, layout=torch.channels_last):
    """Read a network that `save` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "form"}
        form = Form(**json.loads(str(file["form"])))
    return Network(form, arrays, layout=layout)
