"""Export of a fitted network to another runtime: images in, probabilities out.

For LiteRT and ONNX the file holds the graph of `_network/graph.py`, which `predict_proba` uses too;
a SavedModel is Keras' own network.
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
import warnings
from pathlib import Path

import keras
import numpy as np

import sklearn_patt_lite
from sklearn_patt_lite._files import part_of, replaced
from sklearn_patt_lite._inference.predictor import KerasPredictor
from sklearn_patt_lite._network.engines import Engine
from sklearn_patt_lite._network.graph import (
    IMAGE,
    PROBABILITIES,
    folded_backbone,
    write_convolution,
    write_prediction,
    write_preprocessing,
)
from sklearn_patt_lite._network.litert import LiteRTGraph
from sklearn_patt_lite._network.parts import (
    named_weights,
    policy_of,
    rebuild_network,
    to_numpy,
    with_crops,
)
from sklearn_patt_lite._persistence.save import plain
from sklearn_patt_lite._process import keras_settings, on_tensorflow, without_chatter

TOLERANCE = 1e-4  # largest allowed difference of a probability with float32 graphs
_AGREEMENT = 0.97  # share of labels that 8 bits should leave unchanged
_BATCH = 8  # images compared at once
_N_CALIBRATION = 100  # images: more do not change the means of activations
_NOT_THE_FIRST = r"^(?!.*\bconv1_relu\b).*"  # convolution
_WEIGHTS_IN_8_BITS = (
    "8 bits in kernels of convolutions other than the first and the depthwise ones, float32 "
    "elsewhere"
)
_SUFFIXES = {".tflite": "litert", ".onnx": "onnx", "": "saved_model"}
_NEEDS = {
    "litert": (),
    "onnx": ("onnx", "onnxruntime"),
    "saved_model": (),
}


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """Result of `PAttLiteClassifier.export_model`: what was written, and how closely it agrees.

    Attributes
    ----------
    path : str
        The file, or the folder of a SavedModel.
    sidecar : str
        The JSON file beside it.
    format : str
        "litert", "onnx" or "saved_model".
    n_bytes : int
        Size in bytes; for a folder, of all its files together.
    n_images : int
        Number of images that were compared.
    max_difference : float
        Largest difference of a probability.
    agreement : float
        Share of images whose predicted label is the same, in [0, 1].
    """

    path: str
    sidecar: str
    format: str
    n_bytes: int
    n_images: int
    max_difference: float
    agreement: float

    def __str__(self):
        """Return one line: size, differences and agreement."""
        return (
            f"{self.path}: {self.format}, {self.n_bytes / 1e6:.2f} MB; on {self.n_images} images, "
            f"probabilities differ by at most {self.max_difference:.1e} and {self.agreement:.1%} "
            "of the labels agree"
        )


@keras_settings()
def export(fitted, classes, path, format, images, calibration):
    """Write a network for another runtime, and compare its predictions there.

    Parameters
    ----------
    fitted : FittedNetwork
        The network.
    classes : ndarray of shape (n_classes,)
        The labels.
    path : path-like
        Path to write to.
    format : {"litert", "onnx", "saved_model"} or None
        Format to write; None: chosen by the suffix of `path`.
    images : ndarray of shape (n, *image_shape)
        Images to compare on, 0 to 255.
    calibration : ndarray of shape (m, *image_shape) or None
        Images to calibrate 8-bit weights on; None keeps float32.

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
    if format == "saved_model" and not on_tensorflow():
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()} here, but a SavedModel needs TensorFlow. "
            "Save the classifier with save_model, and load it where KERAS_BACKEND is not set."
        )
    network, architecture = fitted.network, fitted.architecture
    if architecture.attention == "batch":
        raise ValueError(
            'attention="batch" cannot be exported: its predictions depend on the other images of '
            "a batch."
        )
    if policy_of(network) != "float32":
        network = rebuild_network(architecture, named_weights(network), "float32")
    path = Path(os.path.realpath(path))
    with _new(path, format) as part:
        _WRITERS[format](network, architecture, part, calibration, fitted.averaging)
        expected = KerasPredictor(network, _BATCH, **fitted.averaging)(images)
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
            f"The suffix {suffix!r} matches no format: use .tflite or .onnx, or no suffix for a "
            "SavedModel's folder, or pass format."
        )
    if format not in (None, *_NEEDS):
        raise ValueError(f"format must be one of {', '.join(map(repr, _NEEDS))}, got {format!r}.")
    if None not in (format, by_suffix) and format != by_suffix and suffix:
        raise ValueError(f'format="{format}" contradicts the suffix of {os.fspath(path)!r}.')
    return by_suffix if format is None else format


def _check_needs(format, calibration):
    needed = [*_NEEDS[format], *([] if calibration is None else ["ai_edge_quantizer"])]
    if calibration is not None and format != "litert":
        raise ValueError(f'8-bit weights need format="litert", got format={format!r}.')
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
            f"With 8 bits, only {report.agreement:.1%} of the labels agree: calibrate on more "
            "images like those that will be predicted, or keep 32 bits.",
            UserWarning,
            stacklevel=5,  # the caller of `export_model`
        )


@contextlib.contextmanager
def _new(path, format):
    """Write a file or folder either completely or not at all."""
    if format != "saved_model":
        with replaced(path) as part:
            yield part
        return
    if path.exists():
        raise FileExistsError(
            f"{os.fspath(path)!r} already exists: remove it or choose another path."
        )
    part = part_of(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _files(path):
    """List all files of a file or folder, in order."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


# The formats


def _write_litert(network, architecture, path, calibration, averaging):
    weights = named_weights(network)
    if calibration is not None:
        weights = _correct_biases(architecture, weights, calibration)
    model = write_prediction(LiteRTGraph(), architecture, weights, **averaging)
    path.write_bytes(model if calibration is None else _to_8_bits(model))


def _to_8_bits(model):
    """Store the kernels of convolutions in 8 bits, each output channel with its own scale.

    They make up nearly all of the file. The first one, depthwise kernels and activations stay in
    float32: activations in 8 bits cost one label in seven, and the others are small.
    """
    from ai_edge_quantizer import qtyping, quantizer

    recipe = quantizer.Quantizer(bytearray(model))
    recipe.add_weight_only_config(_NOT_THE_FIRST, qtyping.TFLOperationName.CONV_2D, num_bits=8)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no option turns off
        quantized = recipe.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(quantized.quantized_model)


def _correct_biases(architecture, weights, images):
    """Correct the backbone's biases for the shift of channel means that rounding kernels causes.

    M. Nagel, M. van Baalen, T. Blankevoort and M. Welling, "Data-Free Quantization Through Weight
    Equalization and Bias Correction", ICCV 2019, Section 4.2; here with data.
    """
    n = min(len(images), _N_CALIBRATION)
    images = images[np.linspace(0, len(images) - 1, n).astype(int)]  # from all classes, if sorted
    exact = rounded = Engine(write_preprocessing(LiteRTGraph(), architecture))(images)
    corrected = dict(weights)
    for step, kernel, bias in folded_backbone(architecture, weights):
        coarse = _round_to_8_bits(kernel) if step.kernel[:2] == (1, 1) else kernel
        exact = _convolve(step, kernel, bias, exact)
        rounded = _convolve(step, coarse, bias, rounded)
        if coarse is not kernel:
            shift = (exact.mean((0, 1, 2)) - rounded.mean((0, 1, 2))).astype(np.float32)
            rounded += shift
            # BatchNormalization's offset is the bias of the folded convolution.
            corrected[f"{step.name}_bn/beta"] = weights[f"{step.name}_bn/beta"] + shift
        exact, rounded = np.clip(exact, 0, 6), np.clip(rounded, 0, 6)
    return corrected


def _convolve(step, kernel, bias, x):
    """Apply one convolution of the backbone to maps, without its activation."""
    return Engine(write_convolution(LiteRTGraph(), (step, kernel, bias), x.shape[1:]))(x)


def _round_to_8_bits(kernel):
    """Round a kernel as LiteRT's quantizer does: symmetric, per output channel."""
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    scale[scale == 0] = 1
    return (np.rint(kernel / scale) * scale).astype(np.float32)


def _write_onnx(network, architecture, path, calibration, averaging):
    from sklearn_patt_lite._network.onnx import OnnxGraph

    weights = named_weights(network)
    path.write_bytes(write_prediction(OnnxGraph(), architecture, weights, **averaging))


def _write_saved_model(network, architecture, path, calibration, averaging):
    import tensorflow as tf

    if averaging["crop_averaging"]:
        network = with_crops(network)
    # As constants: a network would bring along everything it was trained with.
    constants = [
        [to_numpy(variable) for variable in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    ]

    def forward(image):
        return network.stateless_call(*constants, image, training=False)[0]

    def predict(image):
        probabilities = forward(image)
        if averaging["flip_averaging"]:
            probabilities = (probabilities + forward(image[:, :, ::-1])) / 2
        return {PROBABILITIES: probabilities}

    module = tf.Module()
    signature = tf.TensorSpec((None, *architecture.image_shape), tf.float32, name=IMAGE)
    module.serve = tf.function(predict, input_signature=[signature], autograph=False)
    tf.saved_model.save(module, os.fspath(path), signatures={"serving_default": module.serve})


_WRITERS = {"litert": _write_litert, "onnx": _write_onnx, "saved_model": _write_saved_model}


# Predictions of exported graphs


def _predict(run, images):
    """Run images through an exported graph: first a single one, then batches."""
    places = [0, *range(1, len(images), _BATCH), len(images)]
    parts = [images[i:j].astype(np.float32) for i, j in itertools.pairwise(places)]
    return np.concatenate([run(part) for part in parts if len(part)])


def _run_litert(path):
    from ai_edge_litert.interpreter import Interpreter

    with without_chatter():
        runner = Interpreter(model_content=path.read_bytes()).get_signature_runner()
    return lambda images: runner(**{IMAGE: images})[PROBABILITIES]


def _run_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {IMAGE: images})[0]


def _run_saved_model(path):
    import tensorflow as tf

    serve = tf.saved_model.load(os.fspath(path)).signatures["serving_default"]
    return lambda images: serve(**{IMAGE: tf.constant(images)})[PROBABILITIES].numpy()


_RUNNERS = {"litert": _run_litert, "onnx": _run_onnx, "saved_model": _run_saved_model}


def _contract(report, architecture, classes, part, calibration):
    """Return the contents of the sidecar file: the input, the output and the comparison."""
    height, width, channels = architecture.image_shape
    digest = hashlib.sha256()
    for file in _files(part):
        digest.update(file.read_bytes())
    return {
        "format": report.format,
        "made_by": f"sklearn-patt-lite {sklearn_patt_lite.__version__}",
        "sha256": digest.hexdigest(),
        "input": {
            "name": IMAGE,
            "dtype": "float32",
            "shape": [None, height, width, channels],
            "values": "0 to 255",
            "channels": "grey" if channels == 1 else "red, green, blue",
            "content": "one upright face, cropped as the training images were",
        },
        "output": {
            "name": PROBABILITIES,
            "dtype": "float32",
            "shape": [None, len(classes)],
            "labels": [plain("y", label) for label in classes.tolist()],
        },
        "weights": "float32" if calibration is None else _WEIGHTS_IN_8_BITS,
        "parity": {
            "n_images": report.n_images,
            "max_difference": report.max_difference,
            "agreement": report.agreement,
        },
    }
