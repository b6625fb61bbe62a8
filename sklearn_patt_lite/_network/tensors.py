"""What both kinds of graphs share: tensors, and the shapes of maps.

`LiteRTGraph` and `OnnxGraph` have the same public methods, one for each operation, with the same
arguments: a new one goes into both. So a network is written once (`_network/graph.py`), and becomes
a file of either format. Shapes are without the batch; a map is (rows, columns, channels).
"""

from typing import Any, NamedTuple


class Tensor(NamedTuple):
    """A float32 tensor inside a graph."""

    key: Any  # by which the graph knows it
    shape: tuple[int, ...]  # without the batch; of a map: rows, columns, channels


def map_shape(x, kernel, stride, padding):
    """Rows and columns of a map behind a convolution or pooling."""
    if padding == "same":
        return tuple(-(-side // stride) for side in x.shape[:2])
    return tuple((side - kernel) // stride + 1 for side in x.shape[:2])
