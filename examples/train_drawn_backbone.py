"""Train the backbone of `backbone_weights="drawn"` and write it into the package.

    python examples/train_drawn_backbone.py

MobileNetV1 (alpha=0.25, not truncated) learns from 12,000 drawn faces of 1,500 subjects to predict
what a face was drawn from, all at once:

- the landmarks of brows, eyes, nose and mouth, in the picture and in a frontal view of the head,
- the pose of the head, the light, and what covers the face,
- the subject's appearance: the shape of its features, skin, hair, beard and glasses.

It is never given the label of an expression, nor its intensity. Landmarks move with the face, as
they do in any landmark data, so the features are useful for expressions. The subjects here have odd
ids and those of `make_expression_faces` even ones, so no user's subject is used for training.

The targets are predicted linearly from a coarse grid of cells, both at the default output layer of
`PAttLiteClassifier` and at the end, so that a truncated backbone has useful features at any depth.

It takes five to eight minutes on two cores. Convolution kernels are stored as float16, which keeps
the file at 450 kB.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from PIL import Image

import sklearn_patt_lite
from sklearn_patt_lite.datasets._drawn.faces import _act, _cover, _draw_face, _draw_view
from sklearn_patt_lite.datasets._drawn.geometry import (
    COVERINGS,
    HAIRLINES,
    HeadCanvas,
    paint_brows,
    paint_eyes,
    paint_mouth,
    paint_nose,
    skin_depth,
)
from sklearn_patt_lite.datasets._drawn.subjects import draw_subject
from sklearn_patt_lite.datasets._expressions import EXPRESSIONS

ALPHA = 0.25
IMAGE_SIZE = 96
OUTPUT_LAYERS = ("conv_dw_9_relu", "conv_pw_13_relu")  # the default truncation, and the end
CONTRAST = 0.3  # as `PAttLiteClassifier` augments
N_SUBJECTS, N_EPOCHS = 1500, 10
LEARNING_RATE = 4e-3
MAX_YAW = 30.0
OCCLUSION = 0.2
WEIGHTS = Path(sklearn_patt_lite.__file__).parent / "weights" / "drawn.npz"

SHAPE = (
    "head_width", "jaw_taper", "eye_width", "eye_height", "eye_spacing", "brow_thickness",
    "brow_height", "brow_arch", "nose_length", "nose_width", "mouth_width", "mouth_y",
    "lip_thickness",
)  # fmt: skip


def main():
    arguments = parse_arguments()
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    images, targets = draw_faces(training_subject_ids(arguments.subjects))
    print(f"{len(images)} faces, {targets.shape[1]} targets, {time.perf_counter() - start:.0f} s")
    backbone = train(images, targets, arguments.epochs)
    save(backbone, arguments.output)
    print(
        f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB, "
        f"{time.perf_counter() - start:.0f} s"
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=N_SUBJECTS)
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    return parser.parse_args()


def training_subject_ids(n_subjects=N_SUBJECTS):
    """Return odd ids only: even ids are for users."""
    return 2 * np.arange(n_subjects) + 1


def draw_faces(subject_ids):
    """Draw each subject once with each expression; return images and standardized targets."""
    rng = np.random.default_rng(0)
    labels = range(len(EXPRESSIONS))
    subjects = [draw_subject(subject_id) for subject_id in subject_ids for _ in labels]
    labels = np.tile(labels, len(subject_ids))
    views = [
        _draw_view(subject, label, MAX_YAW, rng)
        for subject, label in zip(subjects, labels, strict=True)
    ]
    views = _cover(views, OCCLUSION, rng)
    faces = list(zip(subjects, labels, views, strict=True))
    images = np.stack([_draw_face(*face, IMAGE_SIZE) for face in faces])
    targets = np.array([describe(*face) for face in faces], dtype=np.float32)
    targets -= targets.mean(axis=0)
    # A few are constant: in head coordinates, the corners of the eyes always have the same height.
    return images, targets / np.maximum(targets.std(axis=0), 1e-3)


def describe(subject, label, view):
    """Encode what a face was drawn from as numbers, except for its expression."""
    light = np.radians(view.light_angle)
    return np.concatenate(
        [
            *landmarks(subject, _act(subject, label, view), view),
            [view.yaw, view.pitch, view.roll],
            view.light_strength * np.array([np.cos(light), np.sin(light)]),
            one_hot(view.covering, COVERINGS),
            [getattr(subject, name) for name in SHAPE],
            [subject.skin, subject.glasses],
            one_hot(subject.hair, HAIRLINES),
            one_hot(subject.beard, ("stubble", "moustache", "full")),
        ]
    )


def one_hot(value, values):
    return [value == other for other in values]


def landmarks(subject, actions, view):
    """Compute the landmarks, as fractions of the picture and in units of the frontal face."""
    points = Points(view)
    paint_brows(points, subject, actions)
    brows = points.taken(areas=(0, 1), places=(0, 4, 8))
    paint_eyes(points, subject, actions, view.gaze)
    eyes = points.taken(areas=(0, 3), places=(0, 8, 16, 25))  # corners, upper and lower lid
    paint_nose(points, subject, actions)
    nose = points.taken(areas=(2, 3), places=(0,))  # the nostrils
    paint_mouth(points, subject, actions)
    mouth = points.taken(areas=(0, 1), places=(0, 4, 8, 12, 16, 25))  # outer and inner lips
    features = np.concatenate([brows, eyes, nose, mouth])  # (n_landmarks, 4)
    return features[:, :2].ravel(), features[:, 2:].ravel()


class Points(HeadCanvas):
    """Canvas that records the points of the areas painted on it, without painting them."""

    def __init__(self, view):
        picture = Image.new("L", (1, 1))
        super().__init__(picture, view.yaw, view.pitch, view.roll, view.scale, view.shift)
        self._areas = []

    def area(self, x, y, color, *, z=None, lift=0.0):
        """Record the points as (across, down, x, y)."""
        z = skin_depth(x, y, lift) if z is None else z
        picture = np.reshape(self.project(x, y, z), (-1, 2))
        self._areas.append(np.column_stack([picture, x, y]))

    def line(self, *args, **kwargs):
        """Ignore lines: they mark no landmarks."""

    def taken(self, areas, places):
        """Return the points at some places of some areas, and forget all areas."""
        points = np.concatenate([self._areas[area][list(places)] for area in areas])
        self._areas = []
        return points


def train(images, targets, epochs, batch_size=64):
    """Train the backbone on all targets at once, and return it."""
    network, backbone = build_network(targets.shape[1])
    steps = epochs * (len(images) // batch_size + 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=steps // 20
    )
    network.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=["mse"] * len(OUTPUT_LAYERS),
    )
    network.fit(
        images, [targets] * len(OUTPUT_LAYERS), epochs=epochs, batch_size=batch_size, verbose=2
    )
    return backbone


def build_network(n_targets):
    """Build the backbone with a linear head at each of the output layers."""
    inputs = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), dtype="uint8")
    x = layers.RandomContrast(CONTRAST)(inputs)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    backbone = keras.applications.MobileNet(
        input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), alpha=ALPHA, include_top=False, weights=None
    )
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.95  # the running means are used as they are from then on
    taps = keras.Model(backbone.input, [backbone.get_layer(name).output for name in OUTPUT_LAYERS])
    outputs = [read_off(cells, n_targets) for cells in taps(x)]
    return keras.Model(inputs, outputs), backbone


def read_off(cells, n_targets):
    """Map 3×3 cells linearly to the targets: a grid keeps the location of features."""
    cells = layers.AveragePooling2D(cells.shape[1] // 3)(cells)
    return layers.Dense(n_targets)(layers.Flatten()(cells))


def save(backbone, path):
    """Save arrays by "layer/index"; kernels, the bulk of the weights, in half precision."""
    arrays = {}
    for layer in backbone.layers:
        is_kernel = isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)
        for index, weight in enumerate(layer.get_weights()):
            arrays[f"{layer.name}/{index}"] = weight.astype(np.float16 if is_kernel else np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
