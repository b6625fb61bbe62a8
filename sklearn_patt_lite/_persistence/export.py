"""A fitted network as one file for another runtime: images in, probabilities out.

The graph is that of prediction: the backbone with its BatchNormalization folded away,
and the head, all arrays as constants. Resizing is linear along each side of an image, so that it
is two products with constant matrices: the same in every runtime, antialiasing included.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import io
import itertools
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import sklearn_patt_lite
from sklearn_patt_lite._files import part_of, replaced
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import forward
from sklearn_patt_lite._network.parts import (
    backbone_of,
    head_function,
    head_of,
    policy_of,
    rebuild_network,
    resizing,
)
from sklearn_patt_lite._persistence.save import plain
from sklearn_patt_lite._process import keras_settings, on_tensorflow, without_chatter

TOLERANCE = 1e-4  # largest difference of a probability that float32 graphs may show
_AGREEMENT = 0.97  # share of labels that 8 bits should leave as they are
_BATCH = 8  # images that are compared at once
_N_CALIBRATION = 100  # images: means of activations do not change with more
_NOT_THE_FIRST = r"^(?!.*\bconv_3\b).*"  # convolution, by the names that `forward` gives
_OPSET = 17  # of ONNX; onnxruntime has known it since 2022
_INPUT, _OUTPUT = "image", "probabilities"
_SUFFIXES = {".tflite": "litert", ".onnx": "onnx", "": "saved_model"}
_NEEDS = {
    "litert": ("ai_edge_litert",),
    "onnx": ("tf2onnx", "onnxruntime"),
    "saved_model": (),
}


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What `PAttLiteClassifier.export_model` wrote, and how near it is to the classifier.

    Attributes
    ----------
    path : str
        The file, or the folder of a SavedModel.
    sidecar : str
        The JSON file beside it.
    format : str
        "litert", "onnx" or "saved_model".
    n_bytes : int
        Size, of all files in a folder.
    n_images : int
        Images that were compared.
    max_difference : float
        Largest difference of a probability.
    agreement : float
        Share of the images whose label is the same, in [0, 1].
    """

    path: str
    sidecar: str
    format: str
    n_bytes: int
    n_images: int
    max_difference: float
    agreement: float

    def __str__(self):
        """One line: size, differences and agreement."""
        return (
            f"{self.path}: {self.format}, {self.n_bytes / 1e6:.2f} MB; on {self.n_images} images "
            f"probabilities differ by at most {self.max_difference:.1e}, {self.agreement:.1%} of "
            "the labels agree"
        )


@keras_settings()
def export(fitted, classes, path, format, images, calibration):
    """Write a network for another runtime, and compare what it says there.

    Parameters
    ----------
    fitted : FittedNetwork
        The network.
    classes : ndarray of shape (n_classes,)
        The labels.
    path : path-like
        Where.
    format : {"litert", "onnx", "saved_model"} or None
        For which runtime; None: as the suffix of `path` says.
    images : ndarray of shape (n, *image_shape)
        Images to compare on, 0 to 255.
    calibration : ndarray of shape (m, *image_shape) or None
        With them, weights of 8 bits.

    Returns
    -------
    ExportReport
        What was written.

    Raises
    ------
    ImportError, ValueError, RuntimeError
        As `PAttLiteClassifier.export_model`; nothing is left behind.
    """
    format = _format_of(path, format)
    _check_needs(format, calibration)
    if not on_tensorflow():
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()} here: export_model needs TensorFlow. Keep "
            "the classifier with save_model, and load it where KERAS_BACKEND is not set."
        )
    network, architecture = fitted.network, fitted.architecture
    if architecture.attention == "batch":
        raise ValueError(
            'attention="batch" cannot be exported: its predictions depend on the other images of '
            "a batch."
        )
    if policy_of(network) != "float32":
        network = rebuild_network(architecture, network.get_weights(), "float32")
    path = Path(os.path.realpath(path))
    with _new(path, format) as part:
        _WRITERS[format](network, part, calibration, fitted.flip_averaging)
        expected = network.predict(images, batch_size=_BATCH, verbose=0)
        if fitted.flip_averaging:
            mirrored = network.predict(images[:, :, ::-1], batch_size=_BATCH, verbose=0)
            expected = (expected + mirrored) / 2
        found = _predict(_RUNNERS[format](part), images)
        report = ExportReport(
            path=os.fspath(path),
            sidecar=f"{os.fspath(path)}.json",
            format=format,
            n_bytes=sum(file.stat().st_size for file in _files(part)),
            n_images=len(images),
            max_difference=float(np.abs(found - expected).max()),
            agreement=float(np.mean(found.argmax(axis=1) == expected.argmax(axis=1))),
        )
        _check_parity(report, is_float=calibration is None)
        sidecar = _contract(report, architecture, classes, part, calibration)
        with replaced(report.sidecar) as text:
            text.write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
    return report


def _format_of(path, format):
    suffix = Path(path).suffix.lower()
    by_suffix = _SUFFIXES.get(suffix)
    if format is None and by_suffix is None:
        raise ValueError(
            f"The suffix {suffix!r} tells no format: end the path in .tflite or .onnx, without a "
            "suffix for a SavedModel's folder, or name the format."
        )
    if format not in (None, *_NEEDS):
        raise ValueError(f"format must be one of {', '.join(map(repr, _NEEDS))}, got {format!r}.")
    if None not in (format, by_suffix) and format != by_suffix and suffix:
        raise ValueError(f'format="{format}" contradicts the suffix of {os.fspath(path)!r}.')
    return by_suffix if format is None else format


def _check_needs(format, calibration):
    needed = [*_NEEDS[format], *(() if calibration is None else ("ai_edge_quantizer",))]
    if calibration is not None and format != "litert":
        raise ValueError(f'8 bits are for format="litert" only, got format={format!r}.')
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'format="{format}" needs {" and ".join(missing)}: pip install '
            '"sklearn-patt-lite[export]".'
        )


def _check_parity(report, *, is_float):
    if is_float and not report.max_difference <= TOLERANCE:
        raise RuntimeError(
            f"The exported graph differs from the network by {report.max_difference:.1e} on "
            f"{report.n_images} images, more than {TOLERANCE}: it was not kept."
        )
    if not is_float and report.agreement < _AGREEMENT:
        warnings.warn(
            f"With 8 bits only {report.agreement:.1%} of the labels agree: calibrate on more "
            "images, of the kind that will be predicted, or keep 32 bits.",
            UserWarning,
            stacklevel=4,
        )


@contextlib.contextmanager
def _new(path, format):
    """Write a file or folder that is there as a whole or not at all."""
    if format != "saved_model":
        with replaced(path) as part:
            yield part
        return
    if path.exists():
        raise FileExistsError(f"{os.fspath(path)!r} is there: remove it, or take another path.")
    part = part_of(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _files(path):
    """All files of a file or folder, in order."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


# The graph


def _graph(network, steps, flip_averaging):
    """Make a TensorFlow function of float32 images (n, *image_shape), 0 to 255."""
    forward_head = head_function(head_of(network))
    bring_to_size = _preprocessing(network)

    def predict(image):
        return forward_head(forward(steps, bring_to_size(image)))

    def average(image):
        # As one batch: the weights stand once in the graph.
        both = predict(tf.concat([image, image[:, :, ::-1]], axis=0))
        return tf.reduce_mean(tf.reshape(both, (2, -1, both.shape[-1])), axis=0)

    signature = tf.TensorSpec((None, *network.input.shape[1:]), tf.float32, name=_INPUT)
    graph = average if flip_averaging else predict
    return tf.function(graph, input_signature=[signature], autograph=False)


def _preprocessing(network):
    """Bring images to the network's size and to three channels, by constants."""
    height, width, channels = network.input.shape[1:]
    size, antialias = resizing(network)
    if (height, width) == (size, size):
        resize = tf.identity
    else:
        rows, columns = (_resizing(side, size, antialias) for side in (height, width))

        def resize(x):  # n×height×width×3
            x = tf.matmul(rows, tf.reshape(x, (-1, height, width * 3)))
            return tf.matmul(columns, tf.reshape(x, (-1, size, width, 3)))

    return lambda x: resize(tf.concat([x] * 3, axis=-1) if channels == 1 else x)


def _resizing(side, size, antialias):
    """The matrix that resizes along one side, as the network's layer does; (size, side)."""
    each_pixel = tf.reshape(tf.eye(side), (side, side, 1, 1))  # an image of one column for each
    resized = tf.image.resize(each_pixel, (size, 1), antialias=antialias)
    return tf.transpose(resized[:, :, 0, 0]).numpy()


# The formats


def _write_litert(network, path, calibration, flip_averaging):
    steps = fold_for_inference(backbone_of(network))
    if calibration is not None:
        steps = _correct_biases(steps, _preprocessing(network), calibration)
    model = _convert_to_litert(_graph(network, steps, flip_averaging))
    path.write_bytes(model if calibration is None else _to_8_bits(model))


def _convert_to_litert(graph):
    with tempfile.TemporaryDirectory() as folder:  # by way of a SavedModel names are kept
        _save(graph, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        with without_chatter():
            return converter.convert()


def _to_8_bits(model):
    """Store the kernels of convolutions in 8 bits, each output channel with its own scale.

    They are nearly all of the file. The first one, depthwise kernels and activations stay in
    float32: activations in 8 bits cost one label in seven, and the others are small.
    """
    from ai_edge_quantizer import qtyping, quantizer

    recipe = quantizer.Quantizer(bytearray(model))
    recipe.add_weight_only_config(_NOT_THE_FIRST, qtyping.TFLOperationName.CONV_2D, num_bits=8)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that knows no option
        quantized = recipe.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(quantized.quantized_model)


def _correct_biases(steps, bring_to_size, images):
    """Correct the biases for the shift of channel means that rounding the kernels causes.

    M. Nagel, M. van Baalen, T. Blankevoort and M. Welling, "Data-Free Quantization Through Weight
    Equalization and Bias Correction", ICCV 2019, Section 4.2; here with data.
    """
    n = min(len(images), _N_CALIBRATION)
    images = images[np.linspace(0, len(images) - 1, n).astype(int)]  # of all classes, if sorted
    batches = np.array_split(images.astype(np.float32), max(1, len(images) // _BATCH))
    exact = [bring_to_size(batch) for batch in batches]
    rounded, corrected = exact, []
    for kind, step in steps:
        is_rounded = kind == "conv" and len(step["kernel"]) == 1
        coarse = {**step, "kernel": _round_to_8_bits(step["kernel"])} if is_rounded else step
        exact = [forward([(kind, step)], x) for x in exact]
        rounded = [forward([(kind, coarse)], x) for x in rounded]
        if is_rounded:
            shift = _means(exact) - _means(rounded)
            rounded = [x + shift for x in rounded]
            step = {**step, "bias": step["bias"] + shift}
        corrected.append((kind, step))
    return corrected


def _round_to_8_bits(kernel):
    """Round a kernel as LiteRT's quantizer does: symmetric, by output channel."""
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    scale[scale == 0] = 1
    return (np.rint(kernel / scale) * scale).astype(np.float32)


def _means(batches):
    """Means of the channels over all batches of maps."""
    total = sum(np.asarray(x).sum(axis=(0, 1, 2), dtype=float) for x in batches)
    return (total / sum(np.prod(x.shape[:3]) for x in batches)).astype(np.float32)


def _write_onnx(network, path, calibration, flip_averaging):
    import tf2onnx

    graph = _graph(network, fold_for_inference(backbone_of(network)), flip_averaging)
    model, _ = tf2onnx.convert.from_function(graph, graph.input_signature, opset=_OPSET)
    path.write_bytes(model.SerializeToString())


def _write_saved_model(network, path, calibration, flip_averaging):
    steps = fold_for_inference(backbone_of(network))
    _save(_graph(network, steps, flip_averaging), os.fspath(path))


def _save(graph, folder):
    module = tf.Module()
    module.serve = tf.function(
        lambda image: {_OUTPUT: graph(image)},
        input_signature=graph.input_signature,
        autograph=False,
    )
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})


_WRITERS = {"litert": _write_litert, "onnx": _write_onnx, "saved_model": _write_saved_model}


# What they say


def _predict(run, images):
    """Run images through an exported graph: a single one, and then batches."""
    places = [0, *range(1, len(images), _BATCH), len(images)]
    parts = [images[i:j].astype(np.float32) for i, j in itertools.pairwise(places)]
    return np.concatenate([run(part) for part in parts if len(part)])


def _run_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    with without_chatter():
        runner = Interpreter(model_content=path.read_bytes()).get_signature_runner()
    return lambda images: runner(**{_INPUT: images})[_OUTPUT]


def _run_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {_INPUT: images})[0]


def _run_saved_model(path):
    serve = tf.saved_model.load(os.fspath(path)).signatures["serving_default"]
    return lambda images: serve(**{_INPUT: tf.constant(images)})[_OUTPUT].numpy()


_RUNNERS = {"litert": _run_litert, "onnx": _run_onnx, "saved_model": _run_saved_model}


def _contract(report, architecture, classes, part, calibration):
    """What the file beside it says: what goes in, what comes out, and what was compared."""
    height, width, channels = architecture.image_shape
    digest = hashlib.sha256()
    for file in _files(part):
        digest.update(file.read_bytes())
    return {
        "format": report.format,
        "made_by": f"sklearn-patt-lite {sklearn_patt_lite.__version__}",
        "sha256": digest.hexdigest(),
        "input": {
            "name": _INPUT,
            "dtype": "float32",
            "shape": [None, height, width, channels],
            "values": "0 to 255",
            "channels": "grey" if channels == 1 else "red, green, blue",
            "content": "one upright face, cropped as the training images were",
        },
        "output": {
            "name": _OUTPUT,
            "dtype": "float32",
            "shape": [None, len(classes)],
            "labels": [plain("y", label) for label in classes.tolist()],
        },
        "weights": "float32" if calibration is None else "8 bits in convolutions, float32 else",
        "parity": {
            "n_images": report.n_images,
            "max_difference": report.max_difference,
            "agreement": report.agreement,
        },
    }
