"""Compare `predict_proba` with Keras, bare LiteRT and bare ONNX Runtime, in one run.

    python examples/benchmarks/prediction.py
    python examples/benchmarks/prediction.py --sizes 48-112 --images 200 --rounds 3

The network is the paper's (alpha=1) with random weights, which do not affect the time. Images of 48
pixels go into networks of 112 or 224, and images of 224 into one of 224. All sides alternate on
the same images in each round, so that the machine's changing speed affects them alike; ratios are
medians over the rounds. The bare engines run the same graph. LiteRT gets all threads for one image,
or one thread for each of as many images; so does ONNX Runtime, which also gets batches. Finally,
eight threads predict one image at a time, compared with a single thread.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sklearn_patt_lite._inference.fitted import FittedNetwork
from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.graph import write_prediction
from sklearn_patt_lite._network.kept import KeptNetwork
from sklearn_patt_lite._network.litert import LiteRTGraph
from sklearn_patt_lite._network.onnx import OnnxGraph
from sklearn_patt_lite._network.parts import named_weights, new_network
from sklearn_patt_lite._process import n_threads

SIZES = {"48-112": (48, 112), "48-224": (48, 224), "224": (224, 224)}
KERAS_BATCHES, ONNX_BATCHES = (8, 32, 64), (1, 8, 32)
N_CALLERS = 8  # threads that predict at the same time
REST = 0.5  # seconds before each side: threads of the previous one may still spin


def main():
    arguments = parse_arguments()
    for name in arguments.sizes:
        compare(name, arguments.images, arguments.rounds)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def compare(name, n_images, n_rounds):
    side, input_size = SIZES[name]
    architecture = Architecture(
        7, (side, side, 3), input_size=input_size, patch_size=2 if input_size < 224 else 4
    )
    images = np.random.default_rng(0).integers(0, 256, (n_images, side, side, 3), dtype=np.uint8)
    network = new_network(architecture)
    many, one, callers = make_sides(architecture, network)
    print(f"\n{name} pixels, {n_threads()} threads")
    report(f"{n_images} images at once", measure(many, images, n_rounds), n_images)
    few = images[: max(1, n_images // 5)]
    report("one image at a time", measure(one, few, n_rounds), len(few))
    report(f"{N_CALLERS} threads, one image at a time", measure(callers, few, n_rounds), len(few))


def make_sides(architecture, network):
    """Make the functions to compare, by name: for many images, for single ones, and threaded."""
    fitted = FittedNetwork(
        KeptNetwork(architecture, network), batch_size=8, averaging={}, frozen_until=None
    )
    weights, n = named_weights(network), n_threads()
    litert = write_prediction(LiteRTGraph(), architecture, weights)
    onnx = write_prediction(OnnxGraph(), architecture, weights)
    together, apart = bare_litert(litert, 1), bare_litert(litert, n)
    onnx_together, onnx_apart = bare_onnx(onnx, 1), bare_onnx(onnx, n)
    many = {"predict_proba": fitted.predict_proba}
    many |= {
        f"model_.predict, batches of {size}": lambda X, size=size: network.predict(
            X, batch_size=size, verbose=0
        )
        for size in KERAS_BATCHES
    }
    many["bare LiteRT, threads apart"] = apart
    for size in ONNX_BATCHES:
        many[f"bare ONNX Runtime, batches of {size}"] = lambda X, size=size: onnx_together(X, size)
    many["bare ONNX Runtime, threads apart"] = onnx_apart
    one = {
        "predict_proba": alone(fitted.predict_proba),
        "bare LiteRT": alone(together),
        "bare ONNX Runtime": alone(onnx_together),
    }
    pool = ThreadPoolExecutor(N_CALLERS)
    callers = {
        "predict_proba, by threads": lambda X: [
            *pool.map(lambda image: fitted.predict_proba(image[np.newaxis]), X)
        ],
        "predict_proba, by one": one["predict_proba"],
    }
    return many, one, callers


def alone(side):
    """Make a function that calls another one with one image at a time."""
    return lambda images: [side(image[np.newaxis]) for image in images]


def bare_litert(model, n_interpreters):
    """Run LiteRT with one interpreter on all threads, or with several that share them."""
    from ai_edge_litert.interpreter import Interpreter

    runs = [
        bare_interpreter(
            Interpreter(model_content=model, num_threads=n_threads() // n_interpreters)
        )
        for _ in range(n_interpreters)
    ]
    if n_interpreters == 1:
        return runs[0]
    pool = ThreadPoolExecutor(n_interpreters)

    def predict(images):
        parts = np.array_split(images, n_interpreters)
        return np.concatenate([*pool.map(lambda run, part: run(part), runs, parts)])

    return predict


def bare_interpreter(interpreter):
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]

    def run(images):
        result = np.empty((len(images), *target["shape"][1:]), dtype=np.float32)
        for image, row in zip(images, result, strict=True):
            interpreter.set_tensor(source, image[np.newaxis].astype(np.float32))
            interpreter.invoke()
            row[...] = interpreter.get_tensor(target["index"])[0]
        return result

    return run


def bare_onnx(model, n_sessions):
    """Run ONNX Runtime with one session on all threads, or with several that share them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads() // n_sessions
    options.inter_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(n_sessions)
    ]
    pool = ThreadPoolExecutor(n_sessions)

    def run(session, images, size):
        starts = range(0, len(images), size)
        batches = (images[i : i + size].astype(np.float32) for i in starts)
        return np.concatenate([session.run(None, {"image": batch})[0] for batch in batches])

    def predict(images, size=1):
        if n_sessions == 1:
            return run(sessions[0], images, size)
        parts = [part for part in np.array_split(images, n_sessions) if len(part)]
        return np.concatenate([*pool.map(run, sessions, parts, [size] * n_sessions)])

    return predict


def measure(sides, images, rounds):
    """Time each side's rounds, except the first, which builds engines and traces Keras."""
    seconds = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, side in sides.items():
            time.sleep(REST)
            start = time.perf_counter()
            side(images)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times) for name, times in seconds.items()}


def report(title, seconds, n_images):
    print(f"{title}: images a second, median of the rounds (slowest to fastest), and as a share of")
    print("that of predict_proba, round by round")
    first = next(iter(seconds.values()))
    for name, times in seconds.items():
        speed, share = n_images / times, np.median(first / times)
        spread = f"({speed.min():.0f} to {speed.max():.0f})"
        print(f"  {name:34}{np.median(speed):7.0f}  {spread:16}{share:6.2f}", flush=True)


if __name__ == "__main__":
    main()
