"""Tensors and the shapes of maps, shared by both kinds of graphs.

`LiteRTGraph` and `OnnxGraph` have the same public methods, one per operation, with the same
arguments: a new one must be added to both. So a network is written once (`_network/graph.py`) for
either file format. Shapes exclude the batch; a map is (rows, columns, channels).
"""

from typing import Any, NamedTuple


class Tensor(NamedTuple):
    """Float32 tensor inside a graph."""

    key: Any  # identifies it in the graph
    shape: tuple[int, ...]  # without the batch; of a map: rows, columns, channels


def map_shape(x, kernel, stride, padding):
    """Return the rows and columns of a map after a convolution or pooling."""
    if padding == "same":
        return tuple(-(-side // stride) for side in x.shape[:2])
    return tuple((side - kernel) // stride + 1 for side in x.shape[:2])
