"""Graphs in ONNX format, written from arrays."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from sklearn_patt_lite._network.tensors import Tensor, map_shape

_OPSET, _IR = 17, 8  # supported by ONNX Runtime since 2022
_BATCH = "n"  # its size is known only when the graph is run
_PADDINGS = {"same": "SAME_UPPER", "valid": "VALID"}


class OnnxGraph:
    """Writer of operations on float32 tensors for ONNX; see `_network/tensors.py`.

    Inside the graph, maps are (batch, channels, rows, columns), as ONNX requires.
    """

    def __init__(self):
        self._nodes, self._constants = [], []
        self._input = None

    def input(self, name, shape):
        """Declare the input."""
        self._input = helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH, *shape])
        if len(shape) < 3:
            return Tensor(name, shape)
        return self._add("Transpose", [Tensor(name, shape)], shape, perm=[0, 3, 1, 2])

    def output(self, x, name):
        """Write the graph that computes a tensor; return bytes."""
        if len(x.shape) == 3:
            x = self._add("Transpose", [x], x.shape, perm=[0, 2, 3, 1])
        self._nodes.append(helper.make_node("Identity", [x.key], [name]))
        shape = [_BATCH, *x.shape]
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(
            self._nodes, "patt_lite", [self._input], [output], self._constants
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR)
        return model.SerializeToString()

    # Maps

    def convolve(self, x, kernel, bias, *, stride=1, padding="same", activation=None, name=None):
        """Convolve a map with a kernel (rows, columns, in, out)."""
        kernel = kernel.transpose(3, 2, 0, 1)
        return self._convolve(x, kernel, bias, 1, stride, padding, activation)

    def convolve_depthwise(
        self, x, kernel, bias, *, stride=1, padding="same", activation=None, name=None
    ):
        """Convolve each channel with its own kernel: (rows, columns, channels, 1)."""
        kernel = kernel.transpose(2, 3, 0, 1)
        return self._convolve(x, kernel, bias, len(kernel), stride, padding, activation)

    def _convolve(self, x, kernel, bias, n_groups, stride, padding, activation):
        shape = (*map_shape(x, kernel.shape[2], stride, padding), len(kernel))
        settings = {"strides": [stride] * 2, "auto_pad": _PADDINGS[padding], "group": n_groups}
        return self._activate(self._add("Conv", [x, kernel, bias], shape, **settings), activation)

    def pad_end(self, x):
        """Pad a map with a row of zeros at the bottom and a column at the right."""
        rows, columns, channels = x.shape
        padding = np.array([0, 0, 0, 0, 0, 0, 1, 1])
        return self._add("Pad", [x, padding], (rows + 1, columns + 1, channels))

    def average_pool(self, x, side):
        """Average a map over patches; those at the end may be smaller."""
        shape = (*map_shape(x, side, side, "same"), x.shape[2])
        settings = {"kernel_shape": [side] * 2, "strides": [side] * 2}
        return self._add("AveragePool", [x], shape, auto_pad=_PADDINGS["same"], **settings)

    def resize(self, x, rows, columns):
        """Resize a map by a matrix for its rows, (new, old), and one for its columns."""
        x = self._add("MatMul", [rows, x], (len(rows), *x.shape[1:]))
        shape = (len(rows), len(columns), x.shape[2])
        return self._add("MatMul", [x, np.ascontiguousarray(columns.T)], shape)

    def flip(self, x):
        """Flip a map left to right."""
        start, end, axis, step = (np.array([n]) for n in (-1, np.iinfo(np.int64).min, 3, -1))
        return self._add("Slice", [x, start, end, axis, step], x.shape)

    # Any tensors

    def scale(self, x, factor, offset=None):
        """Multiply by a number, or one per channel, and add another if given."""
        x = self._add("Mul", [x, self._by_channel(x, factor)], x.shape)
        return x if offset is None else self._add("Add", [x, self._by_channel(x, offset)], x.shape)

    @staticmethod
    def _by_channel(x, values):
        values = np.asarray(values, dtype=np.float32)
        return values.reshape(-1, 1, 1) if len(x.shape) == 3 and values.ndim else values

    def multiply(self, x, y):
        """Multiply a map by a single-channel map."""
        return self._add("Mul", [x, y], x.shape)

    def dense(self, x, kernel, bias, *, activation=None):
        """Multiply the last axis by a kernel (in, out), and add a bias, if any."""
        x = self._add("MatMul", [x, kernel], (*x.shape[:-1], kernel.shape[1]))
        if bias is not None:
            x = self._add("Add", [x, bias], x.shape)
        return self._activate(x, activation)

    def multiply_matrices(self, x, y, *, transpose=False):
        """Multiply x, (rows, inner), by y, (inner, columns), or by its transpose."""
        if transpose:
            y = self._add("Transpose", [y], y.shape[::-1], perm=[0, 2, 1])
        return self._add("MatMul", [x, y], (x.shape[0], y.shape[1]))

    def softmax(self, x):
        """Take the softmax over the last axis."""
        return self._add("Softmax", [x], x.shape, axis=-1)

    def sigmoid(self, x):
        """Take the logistic function of each number."""
        return self._add("Sigmoid", [x], x.shape)

    def average(self, x, *axes):
        """Average over axes; the batch is axis 0."""
        shape = tuple(n for axis, n in enumerate(x.shape, start=1) if axis not in axes)
        inside = [axis + 1 for axis in axes] if len(x.shape) == 3 else list(axes)
        return self._add("ReduceMean", [x], shape, axes=inside, keepdims=0)

    def reshape(self, x, shape):
        """Reshape each row of the batch."""
        if len(x.shape) == 3:
            x = self._add("Transpose", [x], x.shape, perm=[0, 2, 3, 1])
        return self._add("Reshape", [x, np.array([-1, *shape])], shape)

    def join_channels(self, tensors):
        """Concatenate along the last axis."""
        shape = (*tensors[0].shape[:-1], sum(x.shape[-1] for x in tensors))
        return self._add("Concat", tensors, shape, axis=1 if len(shape) == 3 else -1)

    def join_batches(self, tensors):
        """Concatenate batches."""
        if len(tensors) == 1:
            return tensors[0]
        return self._add("Concat", tensors, tensors[0].shape, axis=0)

    def average_batches(self, x, n):
        """Average n batches that were joined, row by row."""
        if n == 1:
            return x
        batches = self._add("Reshape", [x, np.array([n, -1, *x.shape])], x.shape)
        return self._add("ReduceMean", [batches], x.shape, axes=[0], keepdims=0)

    def _activate(self, x, activation):
        if activation == "relu6":
            return self._add("Clip", [x, np.float32(0), np.float32(6)], x.shape)
        return x if activation is None else self._add("Relu", [x], x.shape)

    def _add(self, operator, inputs, shape, **attributes):
        """Add an operator on tensors and constants; `shape` is its output's, without the batch."""
        names = [x.key if isinstance(x, Tensor) else self._constant(x) for x in inputs]
        result = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [result], **attributes))
        return Tensor(result, tuple(shape))

    def _constant(self, array):
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
