"""Graphs in LiteRT's format, written from arrays without TensorFlow."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from sklearn_patt_lite._network.tensors import Tensor, map_shape

_BATCH = -1  # its size is known only when the graph is run
_PADDINGS = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}
_ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}
_VERSIONS = {"FULLY_CONNECTED": 5}  # the first that keeps dimensions; other operators use 1
_MOST_IN_A_BYTE = 127  # larger operator codes are in a field that was added later


class LiteRTGraph:
    """Writer of operations on float32 tensors for LiteRT; see `_network/tensors.py`."""

    def __init__(self):
        self._tensors, self._operators, self._codes = [], [], {}
        self._buffers = [schema.BufferT()]  # the first is for tensors without constants
        self._input = None

    def input(self, name, shape):
        """Declare the input."""
        self._input = self._tensor((_BATCH, *shape), name)
        return self._input

    def output(self, x, name):
        """Write the graph that computes a tensor; return bytes."""
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=[self._input.key],
            outputs=[x.key],
            operators=self._operators,
        )
        input_name = self._tensors[self._input.key].name
        self._tensors[x.key].name = name
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(input_name, self._input.key)],
            outputs=[schema.TensorMapT(name, x.key)],
            signatureKey="serving_default",
        )
        model = schema.ModelT(
            version=3,
            operatorCodes=[code for _, code in self._codes.values()],
            subgraphs=[graph],
            buffers=self._buffers,
            signatureDefs=[signature],
        )
        builder = flatbuffers.Builder(2**20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    # Maps

    def convolve(self, x, kernel, bias, *, stride=1, padding="same", activation=None, name=None):
        """Convolve a map with a kernel (rows, columns, in, out)."""
        options = schema.Conv2DOptionsT(
            _PADDINGS[padding], stride, stride, _ACTIVATIONS[activation]
        )
        kernel = kernel.transpose(3, 0, 1, 2)
        shape = (*map_shape(x, kernel.shape[1], stride, padding), len(kernel))
        return self._add("CONV_2D", [x, kernel, bias], shape, options, name)

    def convolve_depthwise(
        self, x, kernel, bias, *, stride=1, padding="same", activation=None, name=None
    ):
        """Convolve each channel with its own kernel: (rows, columns, channels, 1)."""
        options = schema.DepthwiseConv2DOptionsT(
            _PADDINGS[padding], stride, stride, 1, _ACTIVATIONS[activation]
        )
        kernel = kernel.transpose(3, 0, 1, 2)
        shape = (*map_shape(x, kernel.shape[1], stride, padding), kernel.shape[3])
        return self._add("DEPTHWISE_CONV_2D", [x, kernel, bias], shape, options, name)

    def pad_end(self, x):
        """Pad a map with a row of zeros at the bottom and a column at the right."""
        rows, columns, channels = x.shape
        padding = np.array([[0, 0], [0, 1], [0, 1], [0, 0]], dtype=np.int32)
        shape = (rows + 1, columns + 1, channels)
        return self._add("PAD", [x, padding], shape, schema.PadOptionsT())

    def average_pool(self, x, side):
        """Average a map over patches; those at the end may be smaller."""
        options = schema.Pool2DOptionsT(_PADDINGS["same"], side, side, side, side)
        shape = (*map_shape(x, side, side, "same"), x.shape[2])
        return self._add("AVERAGE_POOL_2D", [x], shape, options)

    def resize(self, x, rows, columns):
        """Resize a map by a matrix for its rows, (new, old), and one for its columns."""
        x = self._transpose(x, (3, 2, 1))  # channels × columns × rows
        x = self.dense(x, rows.T, None)
        x = self._transpose(x, (1, 3, 2))  # channels × new rows × columns
        x = self.dense(x, columns.T, None)
        return self._transpose(x, (2, 3, 1))

    def flip(self, x):
        """Flip a map left to right."""
        axis = np.array([2], dtype=np.int32)
        return self._add("REVERSE_V2", [x, axis], x.shape, schema.ReverseV2OptionsT())

    # Any tensors

    def scale(self, x, factor, offset=None):
        """Multiply by a number, or one per channel, and add another if given."""
        x = self._add("MUL", [x, _float32(factor)], x.shape, schema.MulOptionsT())
        if offset is None:
            return x
        return self._add("ADD", [x, _float32(offset)], x.shape, schema.AddOptionsT())

    def multiply(self, x, y):
        """Multiply a map by a single-channel map."""
        return self._add("MUL", [x, y], x.shape, schema.MulOptionsT())

    def dense(self, x, kernel, bias, *, activation=None):
        """Multiply the last axis by a kernel (in, out), and add a bias, if any."""
        options = schema.FullyConnectedOptionsT(_ACTIVATIONS[activation], keepNumDims=True)
        inputs = [x, np.ascontiguousarray(kernel.T), *([] if bias is None else [bias])]
        shape = (*x.shape[:-1], kernel.shape[1])
        return self._add("FULLY_CONNECTED", inputs, shape, options)

    def multiply_matrices(self, x, y, *, transpose=False):
        """Multiply x, (rows, inner), by y, (inner, columns), or by its transpose."""
        options = schema.BatchMatMulOptionsT(adjY=transpose)
        shape = (x.shape[0], y.shape[0] if transpose else y.shape[1])
        return self._add("BATCH_MATMUL", [x, y], shape, options)

    def softmax(self, x):
        """Take the softmax over the last axis."""
        return self._add("SOFTMAX", [x], x.shape, schema.SoftmaxOptionsT(beta=1.0))

    def sigmoid(self, x):
        """Take the logistic function of each number."""
        return self._add("LOGISTIC", [x], x.shape)

    def average(self, x, *axes):
        """Average over axes; the batch is axis 0."""
        shape = tuple(n for axis, n in enumerate(x.shape, start=1) if axis not in axes)
        where = np.array(axes, dtype=np.int32)
        return self._add("MEAN", [x, where], shape, schema.ReducerOptionsT())

    def reshape(self, x, shape):
        """Reshape each row of the batch."""
        return self._reshape(x, (_BATCH, *shape))

    def join_channels(self, tensors):
        """Concatenate along the last axis."""
        shape = (*tensors[0].shape[:-1], sum(x.shape[-1] for x in tensors))
        return self._add("CONCATENATION", tensors, shape, schema.ConcatenationOptionsT(axis=-1))

    def join_batches(self, tensors):
        """Concatenate batches."""
        if len(tensors) == 1:
            return tensors[0]
        options = schema.ConcatenationOptionsT(axis=0)
        return self._add("CONCATENATION", tensors, tensors[0].shape, options)

    def average_batches(self, x, n):
        """Average n batches that were joined, row by row."""
        if n == 1:
            return x
        batches = self._reshape(x, (n, _BATCH, *x.shape))
        first = np.array([0], dtype=np.int32)
        return self._add("MEAN", [batches, first], x.shape, schema.ReducerOptionsT())

    # The FlatBuffer

    def _transpose(self, x, axes):
        axes_after = np.array((0, *axes), dtype=np.int32)
        shape = tuple(x.shape[axis - 1] for axis in axes)
        return self._add("TRANSPOSE", [x, axes_after], shape, schema.TransposeOptionsT())

    def _reshape(self, x, shape):
        options = schema.ReshapeOptionsT(list(shape))
        where = np.array(shape, dtype=np.int32)
        return self._add("RESHAPE", [x, where], shape[1:], options)

    def _add(self, operator, inputs, shape, options=None, name=None):
        """Add an operator on tensors and constants; `shape` is its output's, without the batch."""
        inputs = [x if isinstance(x, Tensor) else self._constant(x) for x in inputs]
        name = name or f"{operator.lower()}_{len(self._operators)}"
        result = self._tensor((_BATCH, *shape), name)
        kind = 0 if options is None else _options_code(options)
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._code(operator),
                inputs=[x.key for x in inputs],
                outputs=[result.key],
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )
        return result

    def _code(self, operator):
        """Return the index of an operator in the list of those that are used."""
        if operator not in self._codes:
            code = getattr(schema.BuiltinOperator, operator)
            entry = schema.OperatorCodeT(
                deprecatedBuiltinCode=min(code, _MOST_IN_A_BYTE),
                version=_VERSIONS.get(operator, 1),
                builtinCode=code,
            )
            self._codes[operator] = len(self._codes), entry
        return self._codes[operator][0]

    def _constant(self, array):
        array = np.ascontiguousarray(array)
        self._buffers.append(_Buffer(array))
        name = f"constant_{len(self._buffers)}"
        return self._tensor(array.shape, name, array.dtype, len(self._buffers) - 1)

    def _tensor(self, shape, name, dtype=np.float32, buffer=0):
        kinds = {np.dtype(np.float32): "FLOAT32", np.dtype(np.int32): "INT32"}
        is_dynamic = _BATCH in shape
        self._tensors.append(
            schema.TensorT(
                shape=[1 if side == _BATCH else side for side in shape],
                shapeSignature=list(shape) if is_dynamic else None,
                type=getattr(schema.TensorType, kinds[np.dtype(dtype)]),
                buffer=buffer,
                name=name,
                hasRank=True,
            )
        )
        return Tensor(len(self._tensors) - 1, tuple(shape[1:]))


class _Buffer(schema.BufferT):
    """Bytes of an array, aligned as the format requires, which the generated class does not do."""

    def __init__(self, array):
        super().__init__()
        self._bytes = array.tobytes()

    def Pack(self, builder):  # FlatBuffers' name
        """Write the buffer; return its offset."""
        builder.StartVector(1, len(self._bytes), 16)
        start = builder.Head() - len(self._bytes)
        builder.Bytes[start : builder.Head()] = self._bytes
        builder.head = start
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _options_code(options):
    return getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))


def _float32(value):
    return np.asarray(value, dtype=np.float32)
