"""Compare recipes, patches and students on all of FER2013, in ten minutes on one GPU.

Pack on a machine with the library and ImageNet weights, into one file of 60 MB. Run on a machine
with a GPU, which needs only torch, NumPy and Pillow (with WebP). Copy the packed file and this
folder's `whole_fer2013.py`, `_packed.py`, `_torch_network.py` and `_torch_training.py` there:

    python examples/benchmarks/whole_fer2013.py pack fer2013_train.npz fer2013.npz
    python examples/benchmarks/whole_fer2013.py run fer2013.npz --output found --minutes 9
    python examples/benchmarks/whole_fer2013.py run fer2013.npz --images 150 --epochs-scale 0.02

The last command is a trial, which takes two minutes on two cores. `fer2013_train.npz` holds
X_train, y_train, X_val, y_val (48×48, uint8) and val_in_train, which marks the images of X_val that
also occur in X_train.

Each row is trained on X_train; what counts is the accuracy on X_val without `val_in_train`. Rows
run in order of importance. A row that would not finish in time is skipped, and the table says so. A
row whose result is in the output folder is not trained again. The folder also holds
`results.jsonl`, `results.md`, `probabilities.npz` (of X_val, in its order), and `weights/` of the
best rows, for `_keras_network.build`.

Are ten minutes enough? Estimated for an H100, not measured: a step of 64 images moves some 35 MB
per image through memory, 2.2 GB, in 1 ms; its 350 kernels, replayed from a graph, take another
0.8 ms. That is 1.8 ms for a step of 64, 1.2 ms for one of 32, and 2.3 ms for a student's. All rows
have 135,000 steps of 32, 108,000 of 64, and two students: 160 + 195 + 85 s, and a minute to unpack,
to record graphs and to predict. The limit of --minutes holds even if this is wrong.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

CROPPED = {"crops": True, "erasing": 0.5}
MODERN_40 = {"epochs": 40}
#: The recipe of near-neutral-fer: https://github.com/StevenHSKim/near-neutral-fer
NEAR_NEUTRAL = {
    "epochs": 40,
    "batch_size": 64,
    "schedule": "steps",
    "warmup_epochs": 5,
    "weight_decay": 5e-4,
    "clipnorm": 5.0,
    "balanced": False,
    "affine": False,
    **CROPPED,
}
OVERLAPPING = {"patch_stride": 2}  # kernels of 4: 7×7 → 4×4 → 2×2
TOKENS_FIRST = {"attention": "tokens"}
#: Changes to Recipe and to Form by row name, in order of importance. A number of teachers makes a
#: student, with the settings of the best row so far, which teaches it alone or with the next two.
ROWS = {
    "modern, 10 epochs": ({}, {}),
    "near-neutral's recipe": (NEAR_NEUTRAL, {}),
    "modern, 40 epochs": (MODERN_40, {}),
    "near-neutral's, patches 7 → 4 → 2": (NEAR_NEUTRAL, OVERLAPPING),
    "near-neutral's, attention before the dense layer": (NEAR_NEUTRAL, TOKENS_FIRST),
    "near-neutral's, both": (NEAR_NEUTRAL, {**OVERLAPPING, **TOKENS_FIRST}),
    "modern, 40 epochs, no class weights": ({**MODERN_40, "balanced": False}, {}),
    "modern, 40 epochs, crops and erasing": ({**MODERN_40, **CROPPED}, {}),
    "student of the best": 1,
    "near-neutral's, patch_size=2": (NEAR_NEUTRAL, {"patch_size": 2, "patch_stride": 2}),
    "modern, 20 epochs": ({"epochs": 20}, {}),
    "student of the three best": 3,
    "near-neutral's, class weights": ({**NEAR_NEUTRAL, "balanced": True}, {}),
}
N_TEACHERS = 3
WATCHED_EPOCHS = 5  # epochs from one record of the accuracy to the next


def main():
    arguments = parse_arguments()
    if arguments.command == "pack":
        pack(arguments)
    else:
        Comparison(arguments).run()


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="pack faces and ImageNet weights into one file")
    packing.add_argument("data", type=Path, help="an .npz; see above")
    packing.add_argument("packed", type=Path, help="the file to write")
    packing.add_argument("--backbone-weights", choices=("imagenet", "drawn"), default="imagenet")
    running = commands.add_parser("run", help="train all rows")
    running.add_argument("packed", type=Path)
    running.add_argument("--output", type=Path, default=Path("examples/output/whole_fer2013"))
    running.add_argument("--minutes", type=float, default=9.0, help="in total; default: 9")
    running.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    running.add_argument("--images", type=int, help="train on only N, for a trial")
    running.add_argument("--epochs-scale", type=float, default=1.0, help="factor, for a trial")
    running.add_argument("--seed", type=int, default=0)
    running.add_argument(
        "--layout",
        choices=("fastest", "channels_last", "contiguous_format"),
        default="fastest",
        help="memory format of feature maps; default: the faster one on a GPU",
    )
    return parser.parse_args()


def pack(arguments):
    import _packed

    weights = _packed.read_backbone(arguments.backbone_weights)
    with np.load(arguments.data) as data:
        packed = _packed.pack(data, weights)
    arguments.packed.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.packed, **packed)
    n_images = len(packed["rows"])
    size = arguments.packed.stat().st_size / 1e6
    print(f"{n_images} images, {packed['n_distinct']} of them distinct: {size:.1f} MB")


def some_rows(data, n_images):
    """Draw rows of X_train, and the same share of X_val; for None all rows, in their order."""
    n_train, n_val = len(data["y_train"]), len(data["y_val"])
    if n_images is None:
        return np.arange(n_train), np.arange(n_val)
    rng = np.random.default_rng(0)  # FER2013 may be sorted by class
    some = rng.permutation(n_train)[:n_images]
    return some, rng.permutation(n_val)[: math.ceil(n_val * len(some) / n_train)]


class Comparison:
    """Trains all rows, one after another, and keeps their results."""

    def __init__(self, arguments):
        import _packed
        import torch

        self.start = time.perf_counter()
        self.arguments, self.output = arguments, arguments.output
        (self.output / "weights").mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        data, self.backbone = _packed.unpack(arguments.packed)
        some, chosen_on = some_rows(data, arguments.images)
        self.images, self.labels, self.val_images = (
            torch.tensor(array, device=self.device)
            for array in (
                data["X_train"][some],
                data["y_train"][some].astype(np.int64),
                data["X_val"][chosen_on],
            )
        )
        self.y_val = data["y_val"][chosen_on].astype(int)
        self.unseen = ~data["val_in_train"][chosen_on]
        self.n_classes = int(data["y_train"].max()) + 1
        self.digest = hashlib.sha256(arguments.packed.read_bytes()).hexdigest()
        self.results, self.notes = self._read(), {}
        self.layout = arguments.layout

    def run(self):
        """Try the requested rows; print and write each result as soon as it is known."""
        print(self._describe(), flush=True)
        if self.layout == "fastest":
            self.layout = self._fastest_layout()
        for name in self.arguments.rows:
            if name not in self.results:
                self._try(name)
            print(self.notes.get(name) or line_of(self.results[name]), flush=True)
            self._write_table()

    def _device_name(self):
        import torch

        return torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"

    def _describe(self):
        n = len(self.images), len(self.val_images), int(self.unseen.sum())
        return (
            f"{self._device_name()}: {n[0]} images to train on, {n[1]} to choose on, {n[2]} of "
            f"them unseen; unpacked after {self._elapsed():.0f} s"
        )

    def _elapsed(self):
        return time.perf_counter() - self.start

    def _fastest_layout(self):
        if self.device.type == "cpu" or all(name in self.results for name in self.arguments.rows):
            return "channels_last"
        seconds = {}
        for layout in ("channels_last", "contiguous_format"):
            self.layout = layout
            seconds[layout] = self._training(*self._settings("near-neutral's recipe")).time_steps()
        print(f"s for near-neutral's recipe, by layout: {seconds}; {self._elapsed():.0f} s so far")
        return min(seconds, key=seconds.get)

    def _settings(self, name):
        """Get recipe, form and names of teachers; raise LookupError if too few rows can teach."""
        from _torch_network import Form
        from _torch_training import Recipe

        if isinstance(ROWS[name], int):
            teachers = self._best(ROWS[name], untaught=True)
            if len(teachers) < ROWS[name]:
                raise LookupError(f"needs {ROWS[name]} rows to learn from")
            return *self._settings(teachers[0])[:2], teachers
        of_recipe, of_form = ROWS[name]
        recipe = Recipe(**of_recipe)
        epochs = max(1, round(self.arguments.epochs_scale * recipe.epochs))
        if recipe.warmup_epochs is not None:
            warmup = recipe.warmup_epochs * epochs / recipe.epochs
            recipe = dataclasses.replace(recipe, warmup_epochs=warmup)
        recipe = dataclasses.replace(recipe, epochs=epochs)
        return recipe, Form(n_classes=self.n_classes, **of_form), []

    def _best(self, n, *, untaught=False):
        """List the best rows whose weights are kept."""
        names = [
            name
            for name, result in self.results.items()
            if self._weights(name).exists() and not (untaught and result["teachers"])
        ]
        return sorted(names, key=lambda name: -self.results[name]["unseen"])[:n]

    def _training(self, recipe, form, teachers):
        import _torch_network
        import torch
        from _torch_training import Training

        layout = getattr(torch, self.layout)
        seed = self.arguments.seed
        network = _torch_network.Network(form, self.backbone, seed, layout).to(self.device)
        loaded = [_torch_network.load(self._weights(name), layout) for name in teachers]
        loaded = [teacher.to(self.device).eval().requires_grad_(False) for teacher in loaded]
        return Training(network, recipe, self.images, self.labels, seed, loaded)

    def _try(self, name):
        """Train a row, unless it would not finish in time."""
        try:
            recipe, form, teachers = settings = self._settings(name)
        except LookupError as reason:
            self.notes[name] = f"{name}: skipped, {reason}"
            return
        began = time.perf_counter()
        left = 60 * self.arguments.minutes - self._elapsed()
        if left <= 0:
            self.notes[name] = f"{name}: skipped, no time is left"
            return
        training = self._training(*settings)
        needed = training.time_steps()
        left = 60 * self.arguments.minutes - self._elapsed()
        if needed > left:
            self.notes[name] = f"{name}: skipped, takes {needed:.0f} s, but {left:.0f} s are left"
            return
        curve = self._train(training)
        y_proba = self._predict(training.network)
        result = {
            "name": name,
            **self._score(y_proba),
            "seconds": round(time.perf_counter() - began, 1),
            "epochs": recipe.epochs,
            "parameters": training.network.n_parameters,
            "librarys": form.is_librarys,
            "teachers": teachers,
            "weights": self._weights(name).name,  # while it is among the best
            "curve": curve,
            "recipe": dataclasses.asdict(recipe),
            "form": dataclasses.asdict(form),
            "key": self._key(name),
            "device": self._device_name(),
        }
        self._keep(result, y_proba, training.network)

    def _train(self, training):
        """Train; return the accuracy on unseen images after every fifth epoch."""
        curve = []

        def watch(epoch):
            if epoch % WATCHED_EPOCHS == 0:
                curve.append(self._score(self._predict(training.network))["unseen"])

        training.run(watch)
        return curve

    def _predict(self, network):
        from _torch_training import predict

        return predict(network, self.val_images)

    def _score(self, y_proba):
        right = y_proba.argmax(axis=1) == self.y_val
        y, known = self.y_val[self.unseen], right[self.unseen]
        recalls = [known[y == label].mean() for label in np.unique(y)]
        scores = {"all": right.mean(), "unseen": known.mean(), "balanced": np.mean(recalls)}
        return {name: round(float(score), 5) for name, score in scores.items()}

    def _key(self, name):
        """Hash what a result depends on: the row, its settings and the data."""
        arguments = self.arguments
        given = (arguments.images, arguments.epochs_scale, arguments.seed)
        facts = json.dumps([name, ROWS[name], given, self.digest])
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def _weights(self, name):
        return self.output / "weights" / f"row_{list(ROWS).index(name):02}.npz"

    def _read(self):
        """Read the existing results of the same rows on the same data."""
        path = self.output / "results.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        results = {result["name"]: result for result in map(json.loads, lines)}
        return {
            name: result
            for name, result in results.items()
            if name in ROWS and result["key"] == self._key(name)
        }

    def _keep(self, result, y_proba, network):
        """Write a result to disk at once: time may run out at any moment."""
        import _torch_network

        name = result["name"]
        _torch_network.save(network, self._weights(name))
        path = self.output / "probabilities.npz"
        kept = dict(np.load(path)) if path.exists() else {}
        written = path.with_name("writing.npz")  # a run that is stopped keeps the old one
        np.savez(written, **{**kept, name: y_proba})
        written.replace(path)
        self.results[name] = result
        with (self.output / "results.jsonl").open("a") as file:
            print(json.dumps(result), file=file)
        self._forget_others()

    def _forget_others(self):
        """Keep weights only of the best row, the best one the library can build, and teachers."""
        ranked = self._best(len(self.results))
        librarys = [name for name in ranked if self.results[name]["librarys"]]
        kept = {*ranked[:1], *librarys[:1], *self._best(N_TEACHERS, untaught=True)}
        for name in set(ranked) - kept:
            self._weights(name).unlink()

    def _write_table(self):
        """Write results.md: rows in their order, then notes."""
        lines = [
            "| row | X_val without val_in_train, % | balanced, % | X_val, % | epochs | s "
            "| parameters | weights | taught by |",
            "|---|---|---|---|---|---|---|---|---|",
            *(self._table_row(self.results[name]) for name in ROWS if name in self.results),
            "",
            *(note for note in self.notes.values()),
        ]
        (self.output / "results.md").write_text("\n".join(lines) + "\n")

    def _table_row(self, result):
        scores = " | ".join(f"{100 * result[name]:.2f}" for name in ("unseen", "balanced", "all"))
        weights = self._weights(result["name"])
        return (
            f"| {result['name']} | {scores} | {result['epochs']} | {result['seconds']:.0f} | "
            f"{result['parameters']:,} | {weights.name if weights.exists() else ''} | "
            f"{'; '.join(result['teachers'])} |"
        )


def line_of(result):
    """Format a row's result as one line."""
    scores = " ".join(f"{name} {100 * result[name]:.2f}" for name in ("unseen", "balanced", "all"))
    return f"{result['name']:50} {scores}  {result['epochs']} epochs, {result['seconds']:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
