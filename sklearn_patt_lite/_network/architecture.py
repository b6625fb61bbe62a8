"""What a network is to look like: checked, and its parameters counted, before it is built."""

import dataclasses
import math

_STRIDED_BLOCKS = (2, 4, 6, 12)  # MobileNetV1's blocks that halve the map
_POINTWISE_FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
#: The first activation whose map is small enough to be stored rather than computed again.
FIRST_SMALL_MAP = "conv_pw_6_relu"
_SMALLEST_IMAGE = 32  # the smallest that keras.applications.MobileNet builds
_LARGEST_IMAGE = 10_000  # no need to look further for a size that works


@dataclasses.dataclass(frozen=True)
class Architecture:
    """All that fixes the shape of a network; see `PAttLiteClassifier` for what each part does."""

    n_classes: int | None  # None: no head, the backbone's map is what comes out
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
    """Refuse what cannot be built, saying what can.

    Raises
    ------
    ValueError
        If `output_layer` is not a layer of MobileNetV1, or `input_size` is too small.
    """
    names = output_layers()
    if architecture.output_layer is not None and architecture.output_layer not in names:
        raise ValueError(
            f"output_layer={architecture.output_layer!r} is not one of MobileNetV1's activations: "
            f"{', '.join(names)}; None keeps the whole MobileNetV1."
        )
    if int(32 * architecture.alpha) < 1:  # MobileNetV1's first convolution has 32 filters
        raise ValueError(f"alpha={architecture.alpha} leaves no filters: 1/32 is the least.")
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


def count_parameters(architecture):
    """Count a network's parameters, running means of BatchNormalization included, unbuilt."""
    n_backbone, depth = _count_backbone(architecture.alpha, architecture.output_layer)
    n_patches, depth = _count_patches(architecture, depth)
    n_hidden, width = 0, depth
    if architecture.hidden_units is not None:
        width = architecture.hidden_units
        n_hidden = depth * width + width + 4 * width
    n_scale = 1 if architecture.attention == "batch" else 0
    n_probabilities = width * architecture.n_classes + architecture.n_classes
    return n_backbone + n_patches + n_hidden + n_scale + n_probabilities


def _count_backbone(alpha, output_layer):
    """Parameters of MobileNetV1 up to an activation, and the depth of the map there."""
    depth = int(32 * alpha)
    n, names = 31 * depth, output_layers()  # the first convolution is 3×3×3
    for layer in names if output_layer is None else names[: names.index(output_layer) + 1]:
        kind, block = layer.split("_")[1:3]
        if kind == "dw":
            n += 13 * depth  # 3×3, and four numbers of BatchNormalization
        else:
            deeper = int(_POINTWISE_FILTERS[int(block) - 1] * alpha)
            n, depth = n + depth * deeper + 4 * deeper, deeper
    return n, depth


def _count_patches(architecture, depth):
    """Parameters of the patch extraction, and the depth of its map."""
    n_filters, patch = architecture.n_filters, architecture.patch_size
    side = math.ceil(_grid_side(architecture.input_size, architecture.output_layer) / patch)
    pointwise = n_filters * n_filters + n_filters
    n = {
        "separable": patch**2 * depth
        + depth * n_filters
        + n_filters
        + math.ceil(side / 2) ** 2 * n_filters
        + 2 * pointwise,
        "conv": patch**2 * depth * n_filters + n_filters,
        "conv_pointwise": patch**2 * depth * n_filters + n_filters + pointwise,
        "attention": depth * n_filters + n_filters + 64 * n_filters + 64 + 64 + 1,
        None: 0,
    }[architecture.patch_extraction]
    return n, depth if architecture.patch_extraction is None else n_filters


def output_layers():
    """List the names of the activations at which MobileNetV1 can be truncated."""
    return [f"conv_{kind}_{block}_relu" for block in range(1, 14) for kind in ("dw", "pw")]


def _fits(architecture, input_size=None):
    """Whether the network can be built: attention over a single token would be the identity."""
    size = architecture.input_size if input_size is None else input_size
    side = _grid_side(size, architecture.output_layer)
    if architecture.patch_extraction is not None:
        side = math.ceil(side / architecture.patch_size)
    needs_tokens = (
        architecture.patch_extraction == "separable" or architecture.attention == "patches"
    )
    return size >= _SMALLEST_IMAGE and side >= (2 if needs_tokens else 1)


def _grid_side(input_size, output_layer):
    """Side of the map at `output_layer`, in cells."""
    last_block = 13 if output_layer is None else int(output_layer.split("_")[2])
    side = math.ceil(input_size / 2)  # the first convolution pads at both sides
    for block in _STRIDED_BLOCKS:
        if block <= last_block:
            side //= 2  # padded below and at the right only
    return side
