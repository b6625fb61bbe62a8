"""Compare exported networks: size, time per image, and agreement with the classifier.

    python examples/benchmarks/export_formats.py faces.npz
    python examples/benchmarks/export_formats.py faces.npz --classifier classifier.zip

Trains the head, at 224 pixels, on X_train and y_train (or loads a saved classifier), and compares
the formats on X_test. The latency is the median time for a single image. All formats, and the
classifier's own `predict_proba`, take turns, each with its default number of threads.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite._classifier import fitted_network
from sklearn_patt_lite._persistence.export import _RUNNERS

FORMATS = {
    "LiteRT": {"format": "litert"},
    "LiteRT, 8 bits": {"format": "litert", "calibrate": True},
    "ONNX": {"format": "onnx"},
    "SavedModel": {"format": "saved_model"},
}
N_TURNS = 10
REST = 0.5  # seconds before each turn: threads of the previous one may still spin


def main():
    arguments = parse_arguments()
    with np.load(arguments.faces) as data:
        X_train, y_train, X_test = data["X_train"], data["y_train"], data["X_test"]
    classifier = get_classifier(arguments, X_train, y_train)
    with tempfile.TemporaryDirectory() as folder:
        reports, runs = {}, {"predict_proba": lambda image: classifier.predict_proba(image)}
        for i, (name, settings) in enumerate(FORMATS.items()):
            path = Path(folder, f"network_{i}")
            reports[name] = classifier.export_model(
                path,
                format=settings["format"],
                X=X_test,
                calibration=X_train if "calibrate" in settings else None,
            )
            runs[name] = _RUNNERS[settings["format"]](path)
        images = fitted_network(classifier).read(X_test[: arguments.rounds])
        print_table(reports, measure(runs, images))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path, help=".npz with X_train, y_train and X_test")
    parser.add_argument("--classifier", type=Path, help="file written by save_model")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=200)
    return parser.parse_args()


def get_classifier(arguments, X_train, y_train):
    if arguments.classifier is not None:
        return PAttLiteClassifier.load_model(arguments.classifier)
    classifier = PAttLiteClassifier(
        recipe="paper",
        unfreeze_layers=0,
        epochs=arguments.epochs,
        batch_size=32,
        augment=False,
        random_state=0,
    )
    return classifier.fit(X_train, y_train)


def measure(runs, images):
    """Measure the seconds of each image, by format; the formats take turns every few images."""
    latencies = {name: [] for name in runs}
    for part in np.array_split(images, N_TURNS):
        for name, run in runs.items():
            time.sleep(REST)
            for image in part:
                one = image[np.newaxis]
                one = one if name == "predict_proba" else one.astype(np.float32)
                start = time.perf_counter()
                run(one)
                latencies[name].append(time.perf_counter() - start)
    return latencies


def print_table(reports, latencies):
    print("| format | size | an image | largest difference | labels that agree |")
    print("|---|---|---|---|---|")
    for name, seconds in latencies.items():
        milliseconds = f"{1000 * np.median(seconds):.1f} ms"
        if name not in reports:
            print(f"| `{name}` | | {milliseconds} | | |")
            continue
        report = reports[name]
        print(
            f"| {name} | {report.n_bytes / 1e6:.2f} MB | {milliseconds} | "
            f"{report.max_difference:.0e} | {report.agreement:.1%} of {report.n_images} |"
        )


if __name__ == "__main__":
    main()
