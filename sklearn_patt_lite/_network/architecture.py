"""Architecture of a network: checked, and its parameters counted, before it is built."""

import dataclasses
import math
from typing import NamedTuple

_STRIDED_BLOCKS = (2, 4, 6, 12)  # MobileNetV1's blocks that halve the feature map
_POINTWISE_FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
#: The first activation whose feature map is small enough to be stored instead of recomputed.
FIRST_SMALL_MAP = "conv_pw_6_relu"
CONTRAST = 0.3  # the published notebook's factor; the paper gives none
# Affine augmentation: rotation as a fraction of a full turn and shift as a fraction of the side, in
# either direction; zoom from the largest enlargement (negative) to the largest reduction.
ROTATION, SHIFT, ZOOM = 10 / 360, 0.08, (-0.15, 0.1)
_SMALLEST_IMAGE = 32  # the smallest that keras.applications.MobileNet builds
_LARGEST_IMAGE = 10_000  # no need to look further for a size that works


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Settings that determine a network's layers; see `PAttLiteClassifier` for what each does."""

    n_classes: int | None  # None: no head, the output is the backbone's map
    image_shape: tuple[int, int, int]  # of the images fed in: height, width, channels (1 or 3)
    alpha: float = 1.0
    input_size: int = 224
    output_layer: str | None = "conv_dw_9_relu"
    patch_extraction: str | None = "separable"
    patch_size: int = 4
    n_filters: int = 256
    attention: str | None = "patches"
    hidden_units: int | None = 32
    augment: bool = True
    affine: bool = False  # whether augmentation also turns, shifts and zooms


def check_architecture(architecture):
    """Refuse an architecture that cannot be built; the error says what can.

    Raises
    ------
    ValueError
        If `output_layer` is not an activation of MobileNetV1, `alpha` leaves no filters, or
        `input_size` is too small.
    """
    names = output_layers()
    if architecture.output_layer is not None and architecture.output_layer not in names:
        raise ValueError(
            f"output_layer={architecture.output_layer!r} is not one of MobileNetV1's activations: "
            f"{', '.join(names)}; None keeps the whole MobileNetV1."
        )
    if int(32 * architecture.alpha) < 1:  # MobileNetV1's first convolution has 32 filters
        raise ValueError(f"alpha={architecture.alpha} leaves no filters: the minimum is 1/32.")
    if not _fits(architecture):
        size = architecture.input_size
        larger = (s for s in range(size + 1, _LARGEST_IMAGE) if _fits(architecture, s))
        smallest = next(larger, f"beyond {_LARGEST_IMAGE}")
        raise ValueError(
            f"input_size={size} is too small for "
            f"output_layer={architecture.output_layer!r}, "
            f"patch_extraction={architecture.patch_extraction!r}, "
            f"patch_size={architecture.patch_size} and attention={architecture.attention!r}; "
            f"the smallest that works is {smallest}."
        )


class Convolution(NamedTuple):
    """Convolution of MobileNetV1, followed by BatchNormalization and ReLU6."""

    name: str  # of the layer: "conv1", "conv_dw_1", "conv_pw_1", …
    kernel: tuple[int, int, int, int]  # rows, columns, in, out; depthwise: rows, columns, in, 1
    stride: int
    pads_end: bool  # whether it pads at the end only, by one; otherwise "same"
    shape: tuple[int, int, int]  # of its output: rows, columns, channels

    @property
    def is_depthwise(self):
        """Whether each channel has its own kernel."""
        return self.name.startswith("conv_dw")

    @property
    def activation(self):
        """Name of the ReLU6 layer that follows."""
        return f"{self.name}_relu"


def backbone_convolutions(architecture):
    """List the convolutions of MobileNetV1 up to `output_layer`, in order."""
    depth = int(32 * architecture.alpha)
    side = math.ceil(architecture.input_size / 2)  # padded on both sides
    found = [Convolution("conv1", (3, 3, 3, depth), 2, False, (side, side, depth))]
    for layer in output_layers():
        if found[-1].activation == architecture.output_layer:
            break
        kind, block = layer.split("_")[1:3]
        stride = 1
        if kind == "dw":
            kernel = (3, 3, depth, 1)
            if int(block) in _STRIDED_BLOCKS:
                stride, side = 2, side // 2  # padded only at the bottom and right
        else:
            deeper = int(_POINTWISE_FILTERS[int(block) - 1] * architecture.alpha)
            kernel, depth = (1, 1, depth, deeper), deeper
        shape = (side, side, depth)
        found.append(Convolution(f"conv_{kind}_{block}", kernel, stride, stride == 2, shape))
    return found


def weight_shapes(architecture):
    """Return the shapes of a network's weights, moving statistics included, by variable path."""
    convolutions = backbone_convolutions(architecture)
    shapes = {}
    for convolution in convolutions:
        shapes[f"{convolution.name}/kernel"] = convolution.kernel
        shapes |= _normalization(f"{convolution.name}_bn", convolution.shape[2])
    if architecture.n_classes is None:
        return shapes
    side, _, width = convolutions[-1].shape
    if architecture.patch_extraction is not None:
        shapes |= _patches(architecture, side, width)
        width = architecture.n_filters
    if architecture.hidden_units is not None:
        shapes |= _dense("hidden", (width, architecture.hidden_units))
        width = architecture.hidden_units
        shapes |= _normalization("hidden_bn", width)
    if architecture.attention == "batch":
        shapes["batch_attention/scale"] = ()
    return shapes | _dense("probabilities", (width, architecture.n_classes))


def _patches(architecture, side, depth):
    """Return the shapes of the patch extraction's weights, for a map of this side and depth."""
    n_filters, patch = architecture.n_filters, architecture.patch_size
    patch_conv = _dense("patch_conv", (patch, patch, depth, n_filters))
    pointwise = _dense("patch_pointwise", (1, 1, n_filters, n_filters))
    half = math.ceil(math.ceil(side / patch) / 2)
    return {
        "separable": _separable("patch_conv_1", patch, depth, n_filters)
        | _separable("patch_conv_2", half, n_filters, n_filters)
        | pointwise,
        "conv": patch_conv,
        "conv_pointwise": patch_conv | pointwise,
        "attention": _dense("patch_pointwise", (1, 1, depth, n_filters))
        | _dense("patch_gate_hidden", (1, 1, n_filters, 64))
        | _dense("patch_gate", (1, 1, 64, 1)),
    }[architecture.patch_extraction]


def _separable(name, side, depth, n_filters):
    depthwise = {f"{name}/depthwise_kernel": (side, side, depth, 1)}
    pointwise = {f"{name}/pointwise_kernel": (1, 1, depth, n_filters)}
    return depthwise | pointwise | {f"{name}/bias": (n_filters,)}


def _dense(name, kernel):
    return {f"{name}/kernel": kernel, f"{name}/bias": kernel[-1:]}


def _normalization(name, depth):
    variables = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{name}/{variable}": (depth,) for variable in variables}


def count_parameters(architecture):
    """Count a network's parameters, moving statistics included, without building it."""
    return sum(math.prod(shape) for shape in weight_shapes(architecture).values())


def output_layers():
    """List the names of the activations at which MobileNetV1 can be truncated."""
    return [f"conv_{kind}_{block}_relu" for block in range(1, 14) for kind in ("dw", "pw")]


def _fits(architecture, input_size=None):
    """Return whether the network can be built; attention over one token would be the identity."""
    if input_size is not None:
        architecture = dataclasses.replace(architecture, input_size=input_size)
    side = backbone_convolutions(architecture)[-1].shape[0]
    if architecture.patch_extraction is not None:
        side = math.ceil(side / architecture.patch_size)
    needs_tokens = (
        architecture.patch_extraction == "separable" or architecture.attention == "patches"
    )
    return architecture.input_size >= _SMALLEST_IMAGE and side >= (2 if needs_tokens else 1)
