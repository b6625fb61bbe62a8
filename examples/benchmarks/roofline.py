"""Compare the frozen backbone's arithmetic with what this CPU's matrix products reach.

    python examples/benchmarks/roofline.py

Multiply-adds of the backbone's first six blocks x images a second, against a product of two float32
matrices in NumPy, in turns. The backbone's largest convolutions are such products; what it does
besides (depthwise convolutions, activations, copies) is bound by memory, so that it stays below.
"""

import time

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone
from sklearn_patt_lite._network.architecture import Architecture, backbone_convolutions
from sklearn_patt_lite._network.parts import named_weights, new_network

SIDE = 1536
ROUNDS = 7
N_IMAGES = 64


def main():
    architecture = Architecture(7, (224, 224, 3), output_layer="conv_pw_6_relu")
    frozen = FrozenBackbone(architecture, named_weights(new_network(architecture)))
    layer = frozen.last_layer  # the last one that is computed from images at once
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N_IMAGES, 224, 224, 3), dtype=np.uint8)
    out = np.empty((N_IMAGES, *frozen.shape(layer)), dtype=np.uint16)
    n = multiply_adds(architecture)
    a, b = rng.random((2, SIDE, SIDE), dtype=np.float32)
    sides = {
        "frozen layers": (lambda: frozen.forward(layer, images, out), N_IMAGES * n),
        "matrix product": (lambda: a @ b, SIDE**3),
    }
    rates = {name: [] for name in sides}
    for i in range(ROUNDS + 1):
        for name, (work, amount) in sides.items():
            start = time.perf_counter()
            work()
            if i > 0:  # the first compiles
                rates[name].append(2 * amount / (time.perf_counter() - start) / 1e9)
    print(f"multiply-adds an image: {n / 1e6:.0f} million")
    for name, values in rates.items():
        low, high = min(values), max(values)
        print(f"{name}: {np.median(values):.0f} GFLOP/s ({low:.0f} to {high:.0f})")
    first, second = (np.median(values) for values in rates.values())
    print(f"ratio: {first / second:.2f}")


def multiply_adds(architecture):
    """Of one image: kernel's values x cells of the output, a depthwise filter's once each."""
    return sum(
        int(np.prod(step.kernel)) * step.shape[0] * step.shape[1]
        for step in backbone_convolutions(architecture)
    )


if __name__ == "__main__":
    main()
