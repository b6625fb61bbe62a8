"""Time the first prediction of a saved classifier in a new process, in one run.

    python examples/benchmarks/first_prediction.py
    python examples/benchmarks/first_prediction.py --rounds 9

The time is from the start of the interpreter to the probabilities of one image. It is compared with
processes that only import NumPy and scikit-learn, or TensorFlow. All alternate; the first round,
which reads files that later rounds find in memory, does not count.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

PROGRAMS = {
    "first prediction": """
import sys
import numpy as np
from sklearn_patt_lite import PAttLiteClassifier

classifier = PAttLiteClassifier.from_pretrained("fer2013")
classifier.predict_proba(np.full((1, 48, 48), 128, np.uint8))
assert not {"tensorflow", "keras"} & set(sys.modules)
""",
    "import scikit-learn": "import numpy, sklearn.base",
    "import tensorflow": "import tensorflow",
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    seconds = {name: [] for name in PROGRAMS}
    for i in range(parser.parse_args().rounds + 1):
        for name, program in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    first, sklearn, tensorflow = (np.array(times) for times in seconds.values())
    for name, times in seconds.items():
        print(f"{name:20} {np.median(times):5.2f} s ({min(times):.2f} to {max(times):.2f})")
    print(f"beyond scikit-learn: {np.median(first - sklearn):.2f} s")
    print(f"as a share of importing TensorFlow: {np.median(first / tensorflow):.2f}")


if __name__ == "__main__":
    main()
