"""Compare `predict_proba` with `model_.predict`, bare LiteRT and bare ONNX Runtime, in one run.

    python examples/benchmarks/prediction.py
    python examples/benchmarks/prediction.py --images 200 --rounds 3

The network is the paper's (224 pixels, alpha=1), hardly trained: what its weights are has no
bearing on the time. All sides take the same images in turn, round after round, so that the
machine's moods meet all of them alike; ratios are medians over the rounds. The bare engines run the
folded backbone without the head, so that they have less to do. LiteRT's is given all threads for
one image, or one thread for each of as many images. ONNX Runtime's needs `onnx` and `onnxruntime`
installed.
"""

import argparse
import functools
import importlib.util
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import _has_litert, forward, litert_model
from sklearn_patt_lite._network.patt_lite import BACKBONE
from sklearn_patt_lite._process import n_threads

BATCH_SIZES = (8, 32, 64)
ONNX_BATCHES = (1, 4, 8)


def main():
    arguments = parse_arguments()
    images = np.random.default_rng(0).integers(
        0, 256, (arguments.images, 224, 224, 3), dtype=np.uint8
    )
    sides = make_sides(fit(images[:14]))
    seconds = measure(sides, images, arguments.rounds)
    report(f"{len(images)} images at once", seconds, len(images))
    batching = ("model_.predict", "bare LiteRT, threads apart", "bare ONNX Runtime, batch")
    one = {name: alone(side) for name, side in sides.items() if not name.startswith(batching)}
    few = images[:50]
    report("one image at a time", measure(one, few, arguments.rounds), len(few))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def fit(images):
    classifier = PAttLiteClassifier(
        recipe="paper",
        backbone_weights=None,
        epochs=1,
        patience=None,
        validation_fraction=None,
        random_state=0,
    )
    return classifier.fit(images, np.arange(len(images)) % 7)


def make_sides(classifier):
    """What is compared: functions of images, by name."""
    network = classifier.model_
    sides = {
        f"model_.predict batch {size}": lambda X, size=size: network.predict(
            X, batch_size=size, verbose=0
        )
        for size in BATCH_SIZES
    }
    sides["predict_proba without the extra"] = predictor(classifier, with_litert=False)
    if _has_litert():
        sides["predict_proba with LiteRT"] = predictor(classifier, with_litert=True)
        sides["bare LiteRT, threads together"] = bare_litert(network, n_interpreters=1)
        sides["bare LiteRT, threads apart"] = bare_litert(network, n_interpreters=n_threads())
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        session = onnx_session(network)
        for size in ONNX_BATCHES:
            name = "bare ONNX Runtime" + (f", batch {size}" if size > 1 else "")
            sides[name] = functools.partial(bare_onnx, session, size)
    return sides


def predictor(classifier, *, with_litert):
    classifier = pickle.loads(pickle.dumps(classifier))  # one that has compiled nothing yet
    with mock.patch("sklearn_patt_lite._network.engines._has_litert", return_value=with_litert):
        classifier.predict_proba(np.full((1, 224, 224, 3), 128, np.uint8))  # compiles
    return classifier.predict_proba


def bare_litert(network, n_interpreters):
    """The folded backbone, without its head, with all threads together or each on its own."""
    from ai_edge_litert.interpreter import Interpreter

    backbone = network.get_layer(BACKBONE)
    function = functools.partial(forward, fold_for_inference(backbone))
    model = litert_model(function, backbone.input.shape[1:])
    interpreters = [
        Interpreter(model_content=model, num_threads=n_threads() // n_interpreters)
        for _ in range(n_interpreters)
    ]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
    pool = ThreadPoolExecutor(n_interpreters)

    def predict(images):
        parts = np.array_split(images, n_interpreters)
        return np.concatenate([*pool.map(invoke, interpreters, parts)])

    return predict


def invoke(interpreter, images):
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]
    result = np.empty((len(images), *target["shape"][1:]), dtype=np.float32)
    for image, row in zip(images, result, strict=True):
        interpreter.set_tensor(source, image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        row[...] = interpreter.get_tensor(target["index"])[0]
    return result


def onnx_session(network):
    """The folded backbone, without its head, in ONNX Runtime with all threads."""
    import onnxruntime

    backbone = network.get_layer(BACKBONE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads()
    model = onnx_model(fold_for_inference(backbone), backbone.input.shape[1:])
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def bare_onnx(session, batch_size, images):
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    rows = (batch.transpose(0, 3, 1, 2).astype(np.float32) for batch in batches)
    return np.concatenate([session.run(None, {"x": x})[0] for x in rows])


def onnx_model(steps, shape):
    """Write folded steps as ONNX' operators, which want channels before rows and columns."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, arrays = [], []

    def add(operator, *inputs, **attributes):
        names = [nodes[-1].output[0] if nodes else "x"]
        for array in inputs:
            names.append(f"array_{len(arrays)}")
            arrays.append(numpy_helper.from_array(array, names[-1]))
        nodes.append(helper.make_node(operator, names, [f"y_{len(nodes)}"], **attributes))

    for kind, step in steps:
        if kind == "scale":
            add("Mul", np.float32(step["factor"]))
            add("Add", np.float32(step["offset"]))
        elif kind == "pad":
            (top, bottom), (left, right) = step["padding"]
            add("Pad", np.array([0, 0, top, left, 0, 0, bottom, right]))
        elif kind == "relu6":
            add("Clip", np.float32(0), np.float32(6))
        else:
            # (height, width, in, out), or (height, width, channels, 1), to (out, in / group, ...)
            depthwise = kind == "depthwise"
            kernel = step["kernel"].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            add(
                "Conv",
                np.ascontiguousarray(kernel),
                step["bias"].astype(np.float32),
                strides=[step["stride"]] * 2,
                group=len(kernel) if depthwise else 1,
                auto_pad={"SAME": "SAME_UPPER", "VALID": "VALID"}[step["padding"]],
            )
    height, width, channels = shape
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, height, width])
    features = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "backbone", [images], [features], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def alone(side):
    """The same, an image a call."""
    return lambda images: [side(image[np.newaxis]) for image in images]


def measure(sides, images, rounds):
    """Seconds of each side's rounds; the first call, which compiles, does not count."""
    seconds = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side(images)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times) for name, times in seconds.items()}


def report(title, seconds, n_images):
    print(f"\n{title}: images a second, median of the rounds (slowest to fastest)")
    for name, times in seconds.items():
        speed = n_images / times
        print(f"  {name:38}{np.median(speed):7.0f}  ({speed.min():.0f} to {speed.max():.0f})")
    plain = [name for name in seconds if name.startswith("model_.predict")]
    fastest = [min(plain, key=lambda name: np.median(seconds[name]))] if plain else []
    others = [*fastest, *(name for name in seconds if name.startswith("bare"))]
    for name in (n for n in seconds if n.startswith("predict_proba")):
        for other in others:
            ratio = np.median(seconds[other] / seconds[name])  # round by round
            print(f"  {name} : {other} = {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
