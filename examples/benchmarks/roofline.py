"""Compare the frozen backbone's arithmetic with what this CPU's matrix products reach.

    python examples/benchmarks/roofline.py

Multiply-adds of the truncated backbone x images a second, against a product of two float32
matrices in NumPy, in turns. The backbone's largest convolutions are such products; what it does
besides (depthwise convolutions, activations, copies) is bound by memory, so that it stays below.
"""

import time

import numpy as np

from sklearn_patt_lite._network.architecture import Architecture
from sklearn_patt_lite._network.batch_norm import fold_for_inference
from sklearn_patt_lite._network.engines import steps_engine
from sklearn_patt_lite._network.patt_lite import build_backbone

SIDE = 1536
ROUNDS = 7
N_IMAGES = 64


def main():
    backbone = build_backbone(Architecture(7, (224, 224, 3)))
    engine = steps_engine(fold_for_inference(backbone), backbone.input.shape[1:])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_IMAGES, 224, 224, 3), dtype=np.uint8)
    a, b = rng.random((2, SIDE, SIDE), dtype=np.float32)
    sides = {
        f"{type(engine).__name__}": (lambda: engine(images), N_IMAGES * multiply_adds(backbone)),
        "matrix product": (lambda: a @ b, SIDE**3),
    }
    rates = {name: [] for name in sides}
    for i in range(ROUNDS + 1):
        for name, (work, amount) in sides.items():
            start = time.perf_counter()
            work()
            if i > 0:  # the first compiles
                rates[name].append(2 * amount / (time.perf_counter() - start) / 1e9)
    print(f"multiply-adds an image: {multiply_adds(backbone) / 1e6:.0f} million")
    for name, values in rates.items():
        low, high = min(values), max(values)
        print(f"{name}: {np.median(values):.0f} GFLOP/s ({low:.0f} to {high:.0f})")
    first, second = (np.median(values) for values in rates.values())
    print(f"ratio: {first / second:.2f}")


def multiply_adds(backbone):
    """Of one image: kernel's values x cells of the output, a depthwise filter's once each."""
    return sum(
        int(np.prod(step["kernel"].shape)) * cells(backbone, name)
        for name, step in convolutions(backbone)
    )


def convolutions(backbone):
    """Name and folded step of each convolution."""
    names = [layer.name for layer in backbone.layers if len(layer.get_weights()) == 1]
    steps = [step for kind, step in fold_for_inference(backbone) if kind in ("conv", "depthwise")]
    return zip(names, steps, strict=True)


def cells(backbone, name):
    _, height, width, _ = backbone.get_layer(name).output.shape
    return height * width


if __name__ == "__main__":
    main()
